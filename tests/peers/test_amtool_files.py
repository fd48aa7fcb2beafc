"""Any tree of routes: Debian's amtool and Muster send the same labels to the same receivers, by seed."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.alerts.compile import ConfigurationError, read_configuration
from controlplane.alerts.routes import Routes, match_routes
from tests.peers.debian import Peers

NAMES = ("a", "b", "team", "severity")
VALUES = ("x", "y", "z", "", "critical", "x,y", 'q"t', "l\\n", "日本")
PATTERNS = ("x", "", "x|y", ".*", ".+", "x.*", "[xy]", "(?i)X", "^x$", "x$|^y", "a)|(x", "日.", 'q"t')
RECEIVERS = 6


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def tree(source: random.Random, depth: int = 0) -> dict[str, Any]:
    route: dict[str, Any] = {"receiver": f"r{source.randrange(RECEIVERS)}"} if source.random() < 0.7 else {}
    if depth == 0:
        route = {"receiver": "r0"}
    else:
        way = source.random()
        if way < 0.6:
            route["matchers"] = [matcher(source) for _ in range(source.randrange(1, 3))]
        elif way < 0.75:
            route["match"] = {source.choice(NAMES): source.choice(VALUES)}
        elif way < 0.9:
            route["match_re"] = {source.choice(NAMES): source.choice(PATTERNS)}
        route["continue"] = source.random() < 0.4
    if depth < 4:
        route["routes"] = [tree(source, depth + 1) for _ in range(source.randrange(0, 4 if depth else 6))]
    return route


def matcher(source: random.Random) -> str:
    operator = source.choice(["=", "!=", "=~", "!~"])
    value = source.choice(PATTERNS if "~" in operator else VALUES)
    plain = source.random() < 0.5 and not set(value) & set('"\\,{}')
    return f"{source.choice(NAMES)}{operator}{value if plain else quoted(value)}"


@pytest.mark.parametrize("seed", range(12))
def test_the_same_labels_reach_the_same_receivers(seed: int, peers: Peers, tmp_path: Path) -> None:
    source = random.Random(seed)
    receivers = [{"name": f"r{number}"} for number in range(RECEIVERS)]
    text = yaml.dump({"route": tree(source), "receivers": receivers}, allow_unicode=True)
    configuration = read_configuration(text)
    file, shown = tmp_path / "file.yml", tmp_path / "shown.yml"
    file.write_text(text)
    shown.write_text(configuration.text)
    indexed = Routes(configuration.root)
    for _ in range(6):
        labels = {name: source.choice(VALUES) for name in source.sample(NAMES, source.randrange(1, 4))}
        found = match_routes(configuration.root, labels)
        assert list(indexed.match(labels)) == found
        expected = ",".join(route.receiver for route in found)
        for path in (file, shown):
            command = [str(peers.amtool), "config", "routes", "test", f"--config.file={path}"]
            command += [f"{name}={quoted(value)}" for name, value in labels.items()]
            said = subprocess.run(command, capture_output=True, text=True, timeout=20)
            assert said.returncode == 0, said.stderr
            assert said.stdout.strip() == expected, (labels, text)


ALL = """\
global:
  resolve_timeout: 1h30m
  http_config: {follow_redirects: true, basic_auth: {username: a, password: b}, proxy_url: http://p:1/}
  smtp_from: a@example.org
  smtp_smarthost: smtp.example.org:587
  smtp_auth_password: p
  smtp_require_tls: false
  slack_api_url: https://hooks.slack.com/services/x
  opsgenie_api_key: key
  wechat_api_secret: secret
  wechat_api_corp_id: corp
  victorops_api_key: key
route:
  receiver: one
  group_by: [alertname, cluster]
  routes:
    - {match: {code: 500}, match_re: {team: a|b}, receiver: two, continue: true, group_by: ['...'],
       active_time_intervals: [work], mute_time_intervals: [night], group_wait: 0s, repeat_interval: 1d}
inhibit_rules:
  - {source_match: {a: b}, source_match_re: {c: d.*}, source_matchers: [x!=y], target_match: {e: f},
     target_match_re: {g: h}, target_matchers: [alertname!~"x"], equal: [alertname]}
receivers:
  - name: one
    webhook_configs: [{url: http://127.0.0.1:5001/, max_alerts: 10, http_config: {bearer_token: t}}]
    email_configs: [{to: a@example.org, headers: {Subject: hi}, html: '', text: '{{ .Status }}'}]
    slack_configs:
      - channel: '#x'
        fields: [{title: a, value: b, short: true}]
        actions: [{type: button, text: t, url: http://x}]
        mrkdwn_in: [text]
    pagerduty_configs: [{service_key: k, details: {a: b}, images: [{src: a}], links: [{href: a}]}]
  - name: two
    opsgenie_configs: [{responders: [{name: a, type: team}], tags: t, priority: P1}]
    victorops_configs: [{routing_key: r, custom_fields: {x: y}}]
    pushover_configs: [{user_key: a, token: b, retry: 1m, expire: 1h}]
    telegram_configs: [{bot_token: t, chat_id: -100123, parse_mode: Markdown}]
    wechat_configs: [{to_user: u, agent_id: 1, message_type: markdown}]
    discord_configs: [{webhook_url: https://discord.com/x}]
    webex_configs: [{room_id: r, http_config: {authorization: {credentials: x}}}]
mute_time_intervals:
  - name: night
    time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}], weekdays: ['monday:friday', sunday]}]
time_intervals:
  - name: work
    time_intervals: [{months: ['january:march', 4], years: ['2020:2030', 2031], days_of_month: [7, '-3:-1']}]
"""


def checked(peers: Peers, text: str, file: Path) -> bool:
    file.write_text(text)
    said = subprocess.run([str(peers.amtool), "check-config", str(file)], capture_output=True, timeout=20)
    return said.returncode == 0


def test_a_file_with_everything_is_taken_by_both_and_so_is_what_is_shown_of_it(
    peers: Peers, tmp_path: Path
) -> None:
    assert checked(peers, ALL, tmp_path / "all.yml")
    assert checked(peers, read_configuration(ALL).text, tmp_path / "shown.yml")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("group_wait: 0s", "group_wait: 0.5"),
        ("repeat_interval: 1d", "repeat_interval: 0s"),
        ("'...']", "'...', a]"),
        ("[alertname, cluster]", "[alertname, alertname]"),
        ("receiver: two", "receiver: three"),
        ("[work]", "[nowhere]"),
        ("name: two", "name: one"),
        ("name: work", "name: night"),
        ("name: work", "nam: work"),
        ("max_alerts: 10", "max_alerts: ten"),
        ("'monday:friday'", "'friday:monday'"),
        ("'22:00'", "'25:00'"),
        ("'-3:-1'", "'-3:1'"),
        ("to: a@example.org", "text: x"),
        ("service_key: k", "class: k"),
        ("chat_id: -100123", "chat_id: 0"),
        ("d.*", "d("),
        ("x!=y", "x!y"),
        ("smtp.example.org:587", "smtp.example.org"),
        ("http://127.0.0.1:5001/", "ftp://127.0.0.1/"),
        ("routing_key: r, ", ""),
        ("  slack_api_url: https://hooks.slack.com/services/x\n", ""),
    ],
)
def test_what_amtool_refuses_of_it_is_refused(right: str, wrong: str, peers: Peers, tmp_path: Path) -> None:
    assert right in ALL
    text = ALL.replace(right, wrong, 1)
    assert not checked(peers, text, tmp_path / "wrong.yml")
    with pytest.raises(ConfigurationError):
        read_configuration(text)
