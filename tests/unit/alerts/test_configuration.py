"""Alertmanager's file: what loads and what it comes to, what is refused, by line, and what is shown of it."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.alert_files import load_text, read_template_files
from controlplane.alerts.compile import ConfigurationError, read_configuration
from controlplane.alerts.configuration import Configuration, Integration
from schemas.manifests.alertmanager import INTEGRATIONS
from schemas.manifests.alertmanager_values import duration_seconds, duration_text

LEAST = "route: {receiver: a}\nreceivers: [{name: a}]\n"


def receiver(text: str, shared: str = "{}") -> Configuration:
    """One receiver with these integrations."""
    return read_configuration(
        f"global: {shared}\nroute: {{receiver: a}}\nreceivers: [{{name: a, {text}}}]\n", "/etc/am"
    )


def integration(text: str, shared: str = "{}") -> Integration:
    return receiver(text, shared).receivers["a"].integrations[0]


def refused(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as error:
        read_configuration(text)
    return [(problem.line, problem.path, problem.message) for problem in error.value.problems]


def test_the_least_file_has_the_defaults_of_alertmanager():
    configuration = read_configuration(LEAST)
    root = configuration.root
    assert (root.receiver, root.key, root.group_by, root.group_by_all) == ("a", "{}", (), False)
    assert (root.group_wait_seconds, root.group_interval_seconds) == (30, 300)
    assert (root.repeat_interval_seconds, configuration.resolve_timeout_seconds) == (14_400, 300)
    assert configuration.beyond.silence_guard.max_share == 1
    assert configuration.beyond.flap_damping.transitions == 0


KINDS = {
    "webhook": "{url: 'http://x/'}",
    "email": "{to: a@example.org}",
    "pagerduty": "{routing_key: k}",
    "opsgenie": "{api_key: k}",
    "wechat": "{}",
    "slack": "{api_url: 'http://x/'}",
    "victorops": "{routing_key: r, api_key: k}",
    "pushover": "{user_key: u, token: t}",
    "telegram": "{bot_token: t, chat_id: -100123}",
    "discord": "{webhook_url: 'http://x/'}",
    "webex": "{room_id: r, http_config: {authorization: {credentials: t}}}",
    "msteams": "{webhook_url: 'http://x/'}",
    "msteamsv2": "{webhook_url: 'http://x/'}",
    "dingtalk": "{url: 'http://x/', secret: SEC1, at: {mobiles: [138], all: true}}",
    "feishu": "{url: 'http://x/', secret: s}",
    "wecom": "{key: k, message_type: text, mentioned: ['@all']}",
    "apprise": "{url: 'ntfy://topic'}",
}
SHARED = (
    "{smtp_smarthost: 'h:25', smtp_from: b@example.org, smtp_auth_password: hunter2, wechat_api_secret: s,"
    " wechat_api_corp_id: c, resolve_timeout: 1m}"
)


@pytest.mark.parametrize(("kind", "text"), KINDS.items())
def test_every_kind_that_is_delivered_loads(kind: str, text: str):
    found = integration(f"{kind}_configs: [{text}]", SHARED)
    assert (found.kind, found.index, found.name) == (kind, 0, f"{kind}[0]")
    assert isinstance(found.settings, INTEGRATIONS[kind])


@pytest.mark.parametrize(
    ("kind", "sends_resolved"),
    [
        ("webhook", True),
        ("email", False),
        ("slack", False),
        ("pagerduty", True),
        ("wechat", False),
        ("dingtalk", True),
    ],
)
def test_resolved_is_sent_where_alertmanager_does(kind: str, sends_resolved: bool):
    assert integration(f"{kind}_configs: [{KINDS[kind]}]", SHARED).send_resolved is sends_resolved


def test_what_global_states_is_filled_in_and_what_is_stated_here_stands():
    email = integration("email_configs: [{to: a@example.org, from: c@example.org}]", SHARED).settings
    assert (email.smarthost, email.from_, email.auth_password, email.require_tls) == (
        "h:25",
        "c@example.org",
        "hunter2",
        True,
    )
    slack = integration("slack_configs: [{}]", "{slack_api_url_file: url}").settings
    assert (slack.api_url, slack.api_url_file) == (None, "/etc/am/url")
    webhook = integration(
        "webhook_configs: [{url: 'http://x/'}]", "{http_config: {tls_config: {ca_file: ca.pem}}}"
    )
    assert webhook.settings.http_config.tls_config.ca_file == "/etc/am/ca.pem"


def test_limits_are_musters_own_and_max_alerts_of_a_webhook_counts_too():
    assert integration("webhook_configs: [{url: 'http://x/', max_alerts: 7}]").limits.max_alerts == 7
    limited = integration("dingtalk_configs: [{url: 'http://x/', limits: {per_minute: 20, max_alerts: 5}}]")
    assert (limited.limits.per_minute, limited.limits.max_alerts) == (20, 5)


@pytest.mark.parametrize(
    ("section", "per_minute", "per_second"),
    [
        ("dingtalk_configs: [{url: 'http://x/'}]", 20, 0),
        ("wecom_configs: [{key: k}]", 20, 0),
        ("feishu_configs: [{url: 'http://x/'}]", 100, 5),
        ("feishu_configs: [{url: 'http://x/', limits: {max_alerts: 5}}]", 100, 5),
        ("dingtalk_configs: [{url: 'http://x/', limits: {per_minute: 0}}]", 0, 0),
        ("dingtalk_configs: [{url: 'http://x/', limits: {per_minute: 5}}]", 5, 0),
        ("webhook_configs: [{url: 'http://x/'}]", 0, 0),
    ],
)
def test_robots_have_the_limits_of_their_vendors(section: str, per_minute: int, per_second: int):
    limits = integration(section).limits
    assert (limits.per_minute, limits.per_second) == (per_minute, per_second)


def test_integrations_of_one_robot_are_known_as_such():
    one, same, other = (
        integration(f"dingtalk_configs: [{{url: 'http://{host}/hunter2'}}]").limits.robot
        for host in ("x", "x", "y")
    )
    assert one == same != other
    assert "hunter2" not in one


def test_integrations_are_numbered_by_kind_in_the_order_in_which_alertmanager_sends():
    found = receiver(
        "slack_configs: [{api_url: 'http://x/'}], webhook_configs: [{url: 'http://x/'}, {url: 'http://y/'}]"
    )
    names = [each.name for each in found.receivers["a"].integrations]
    assert names == ["webhook[0]", "webhook[1]", "slack[0]"]


def test_musters_own_at_the_top():
    beyond = read_configuration(
        LEAST + "muster:\n"
        "  heartbeats: [{name: dog, matchers: [alertname=Watchdog], every: 5m, labels: {a: b}}]\n"
        "  flap_damping: {transitions: 4, window: 30m, quiet: 10m}\n"
        "  silence_guard: {max_share: 0.5, from_alerts: 20}\n"
        "  dead_mans_switch: {url: 'https://hc.example.org/x', every: 30s}\n"
        "  history: {days: 7, max_bytes: 2097152}\n"
    ).beyond
    assert (beyond.heartbeats[0].name, beyond.heartbeats[0].every_seconds) == ("dog", 300)
    assert beyond.flap_damping.window_seconds == 1_800
    assert beyond.silence_guard.max_share == 0.5
    assert beyond.dead_mans_switch is not None
    assert beyond.dead_mans_switch.every_seconds == 30
    assert beyond.history.days == 7


ROUTES = """\
route:
  receiver: a
  matchers: [x=y]
  continue: true
  group_by: [a, a]
  routes:
    - receiver: nobody
      recevier: a
      group_interval: 0s
      repeat_interval: 5 minutes
      group_wait: -1s
      mute_time_intervals: [never]
    - match: {1x: y}
      match_re: {a: '('}
      matchers:
        - a=b
        - 'a="b'
      group_by: [..., a]
      muster: {escalate: [{after: 0s, receiver: a}, {after: 5m, receiver: nobody}]}
receivers: [{name: a}, {name: a}]
"""
PARTS = """\
global: {smtp_auth_password: a, smtp_auth_password_file: b, smtp_smarthost: host}
route: {receiver: a}
receivers:
  - name: a
    webhook_configs:
      - url: ftp://x/
      - url: http://x/
        url_file: y
        timeout: soon
    sns_configs: [{topic_arn: t, sigv4: {region: r}}]
    email_configs: [{to: ''}]
    dingtalk_configs: [{url: http://x/, message_type: card}]
    slack_configs:
      - text: |
          one
          {{ .Foo
  - name: owner
inhibit_rules:
  - source_matchers: [a=~"("]
    equal: [x]
  - target_match_re: {'a b': c}
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: 9:00, end_time: '17:00'}, {start_time: '22:00', end_time: '06:00'}]
        weekdays: [friday:monday, mon]
        days_of_month: ['0', '-1:3', '5:1']
        months: ['13']
        years: ['2030:2020']
        location: Moon/Base
  - name: night
"""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", [(1, "route")]),
        ("[]", [(1, "")]),
        ("route: [", [(2, "")]),
        ("route: {receiver: a}\nreceivers: [{name: a}]\n---\nroute: {}\n", [(4, "")]),
        ("route: {receiver: a}\nroute: {receiver: a}\nreceivers: [{name: a}]", [(2, "route")]),
        (
            "route: {receiver: a}\nreceivers: [{nam: a}]",
            [(1, "route.receiver"), (2, "receivers[0].nam"), (2, "receivers[0].name")],
        ),
        (LEAST + "templats: []", [(3, "templats")]),
        (LEAST + "templates: x", [(3, "templates")]),
        ("route: {group_by: [a]}\nreceivers: [{name: a}]", [(1, "route.receiver")]),
        (
            ROUTES,
            [
                (3, "route.matchers"),
                (4, "route.continue"),
                (5, "route.group_by"),
                (7, "route.routes[0].receiver"),
                (8, "route.routes[0].recevier"),
                (9, "route.routes[0].group_interval"),
                (10, "route.routes[0].repeat_interval"),
                (11, "route.routes[0].group_wait"),
                (12, "route.routes[0].mute_time_intervals[0]"),
                (13, "route.routes[1].match.1x"),
                (14, "route.routes[1].match_re.a"),
                (17, "route.routes[1].matchers[1]"),
                (18, "route.routes[1].group_by"),
                (19, "route.routes[1].muster.escalate[0].after"),
                (19, "route.routes[1].muster.escalate[1].receiver"),
                (20, "receivers[1].name"),
            ],
        ),
        (
            PARTS,
            [
                (1, "global.smtp_auth_password_file"),
                (1, "global.smtp_smarthost"),
                (6, "receivers[0].webhook_configs[0].url"),
                (8, "receivers[0].webhook_configs[1].url_file"),
                (9, "receivers[0].webhook_configs[1].timeout"),
                (10, "receivers[0].sns_configs[0]"),
                (11, "receivers[0].email_configs[0].to"),
                (12, "receivers[0].dingtalk_configs[0].message_type"),
                (14, "receivers[0].slack_configs[0].api_url"),
                (16, "receivers[0].slack_configs[0].text"),
                (17, "receivers[1].name"),
                (19, "inhibit_rules[0].source_matchers[0]"),
                (21, "inhibit_rules[1].target_match_re.a b"),
                (25, "time_intervals[0].time_intervals[0].times[0].start_time"),
                (25, "time_intervals[0].time_intervals[0].times[1].end_time"),
                (26, "time_intervals[0].time_intervals[0].weekdays[0]"),
                (26, "time_intervals[0].time_intervals[0].weekdays[1]"),
                (27, "time_intervals[0].time_intervals[0].days_of_month[0]"),
                (27, "time_intervals[0].time_intervals[0].days_of_month[1]"),
                (27, "time_intervals[0].time_intervals[0].days_of_month[2]"),
                (28, "time_intervals[0].time_intervals[0].months[0]"),
                (29, "time_intervals[0].time_intervals[0].years[0]"),
                (30, "time_intervals[0].time_intervals[0].location"),
                (31, "time_intervals[1].name"),
            ],
        ),
    ],
)
def test_everything_that_is_wrong_is_said_at_once_by_line_and_path(text: str, wrong: list[tuple[int, str]]):
    assert [(line, path) for line, path, _ in refused(text)] == wrong


@pytest.mark.parametrize(
    ("integrations", "path", "said"),
    [
        ("webhook_configs: [{}]", "webhook_configs[0]", "one of url, url_file is missing"),
        ("slack_configs: [{}]", "slack_configs[0].api_url", "global.slack_api_url"),
        ("email_configs: [{to: x, smarthost: 'h:1'}]", "email_configs[0].from", "global.smtp_from"),
        (
            "email_configs: [{to: x, sendresolved: true}]",
            "email_configs[0].sendresolved",
            "send_resolved is one",
        ),
        ("telegram_configs: [{bot_token: t}]", "telegram_configs[0].chat_id", "missing"),
        ("webex_configs: [{room_id: r}]", "webex_configs[0].http_config", "authorization"),
        ("sns_configs: [{topic_arn: t}]", "sns_configs[0]", "apprise_configs"),
        ("apprise_configs: [{url: nothing}]", "apprise_configs[0].url", "SCHEME://"),
        (
            "webhook_configs: [{url: 'http://x/', http_config: {tls_config: {cert: x}}}]",
            "tls_config",
            "go together",
        ),
        ("slack_configs: [{api_url: 'http://x/', title: '{{ template \"nope\" . }}'}]", "title", "nope"),
    ],
)
def test_what_is_wrong_with_a_receiver_says_what_would_be_right(integrations: str, path: str, said: str):
    problems = refused(f"route: {{receiver: a}}\nreceivers: [{{name: a, {integrations}}}]\n")
    assert any(path in where and said in message for _, where, message in problems), problems


def test_a_template_is_told_of_by_its_own_line():
    block = (
        "route: {receiver: a}\nreceivers:\n- name: a\n  slack_configs:\n  - api_url: http://x/\n"
        "    text: |\n      a\n      {{ .Foo\n"
    )
    assert [(line, path) for line, path, _ in refused(block)] == [(8, "receivers[0].slack_configs[0].text")]


def test_texts_that_look_like_numbers_or_truth_stay_texts():
    root = read_configuration(
        "route: {receiver: 1, routes: [{match: {code: 500, on: yes, none: }, receiver: no}]}\n"
        "receivers: [{name: 1}, {name: no}]"
    ).root
    assert [str(matcher) for matcher in root.routes[0].matchers] == ['code="500"', 'none=""', 'on="yes"']
    assert root.routes[0].receiver == "no"


def test_anchors_and_merges_work_and_lines_stay_right():
    text = (
        "route:\n  receiver: a\n  routes:\n    - &r {match: {a: b}, receiver: a}\n"
        "    - {<<: *r, match: {a: c}}\n    - {<<: *r, receiver: nobody}\nreceivers: [{name: a}]\n"
    )
    assert [(line, path) for line, path, _ in refused(text)] == [(6, "route.routes[2].receiver")]
    routes = read_configuration(text.replace("nobody", "a")).root.routes
    assert [str(route.matchers[0]) for route in routes] == ['a="b"', 'a="c"', 'a="b"']


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "route: &r {routes: [*r]}",
        "route: " + "[" * 5_000,
        "#" + "x" * 1024 * 1024,
        "route: {receiver: \x00}",
        "? [a]\n: b",
        "<<: 5",
        "a: !!python/object:os.system x",
    ],
    ids=["bomb", "self", "deep", "large", "control", "key", "merge", "tag"],
)
def test_text_made_to_hurt_is_refused(text: str):
    assert refused(text)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "route",
                        "receivers",
                        "name",
                        "routes",
                        "matchers",
                        "global",
                        "muster",
                        "webhook_configs",
                        "url",
                        "time_intervals",
                        "group_by",
                        "match",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=30,
    )
)
def test_any_yaml_loads_or_is_refused(value: object):
    try:
        read_configuration(yaml.safe_dump(value))
    except ConfigurationError as error:
        refusal = error
    else:
        return
    assert refusal.problems
    assert all(problem.line >= 1 for problem in refusal.problems)


SECRETS = """\
global:
  smtp_smarthost: h:25
  smtp_from: f@example.org
  smtp_auth_password: hunter2
  http_config: {basic_auth: {username: u, password: hunter2}}
route: {receiver: a, routes: [{receiver: owner, muster: {escalate: [{after: 5m, receiver: a}]}}]}
receivers:
  - name: a
    webhook_configs: [{url: 'http://x/hunter2', limits: {per_minute: 1}}]
    email_configs: [{to: t@example.org}]
    pagerduty_configs: [{routing_key: hunter2}]
    telegram_configs: [{bot_token: hunter2, chat_id: 1}]
    dingtalk_configs: [{url: 'http://x/?access_token=hunter2', secret: hunter2}]
muster: {dead_mans_switch: {url: 'http://x/hunter2'}}
"""


def test_secrets_are_in_the_settings_and_never_in_what_is_shown():
    configuration = read_configuration(SECRETS)
    assert configuration.receivers["a"].integrations[0].settings.url == "http://x/hunter2"
    assert "hunter2" not in configuration.text
    assert "hunter2" not in repr(configuration.receivers)
    assert configuration.text.count("<secret>") == 5


def test_what_is_shown_is_a_file_of_alertmanager_that_routes_the_same():
    shown = yaml.safe_load(read_configuration(SECRETS).text)
    assert set(shown) == {"global", "route", "receivers"}
    assert shown["receivers"][0]["webhook_configs"] == [{"url": "http://x/<secret>"}]
    assert "dingtalk_configs" not in shown["receivers"][0]
    assert [each["name"] for each in shown["receivers"]] == ["a", "owner"]
    assert shown["route"]["routes"] == [{"receiver": "owner"}]


def test_no_problem_repeats_a_secret():
    text = LEAST.replace(
        "{name: a}",
        "{name: a, webhook_configs: [{url: hunter2}], pagerduty_configs: [{routing_key: [hunter2]}]}",
    )
    assert not any("hunter2" in message for _, _, message in refused(text))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1w2d", 777600),
        ("500ms", 0.5),
        ("1y", 365 * 86400),
        ("1.5h", 5400),
        ("1m0.5s", 60.5),
    ],
)
def test_durations_are_those_of_prometheus_and_go(text: str, seconds: float):
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "1d1.5h", "1000y", "5M", "1e3s"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match=r"duration|292 years"):
        duration_seconds(text)


@given(st.integers(0, 10**11))
def test_durations_are_read_back(milliseconds: int):
    assert duration_seconds(duration_text(milliseconds / 1_000)) == pytest.approx(milliseconds / 1_000)


def test_templates_are_found_from_the_folder_of_the_file(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "one.tmpl").write_text('{{ define "mine" }}{{ .Status }}{{ end }}')
    text = LEAST.replace(
        "{name: a}", "{name: a, slack_configs: [{api_url: 'http://x/', text: '{{ template \"mine\" . }}'}]}"
    )
    stated = (text + "templates: ['t/*.tmpl', 'none/*']\n").encode()
    assert load_text(stated, tmp_path).templates == (f"{tmp_path}/t/*.tmpl", f"{tmp_path}/none/*")
    assert list(read_template_files([f"{tmp_path}/t/*"])) == [f"{tmp_path}/t/one.tmpl"]
    (tmp_path / "t" / "two.tmpl").write_text("{{ define")
    with pytest.raises(ConfigurationError, match=r"two\.tmpl"):
        load_text(stated, tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="line 2: not UTF-8"):
        load_text(b"a: b\n\xff", tmp_path)
