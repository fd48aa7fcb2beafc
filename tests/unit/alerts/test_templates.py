"""Templates of messages: Jinja, Go's where they convert, and what nobody may make them cost."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts.alert import Alert
from controlplane.alerts.go_templates import GoTemplateError, converted, looks_go
from controlplane.alerts.notice import Notice, Why
from controlplane.alerts.rendering import Data, data_of
from controlplane.alerts.template_bounds import TemplateError
from controlplane.alerts.templates import Fault, TemplateFaults, Templates
from schemas.manifests.alertmanager_channels import EmailConfig, SlackConfig

NOW = 1_700_000_100.0
PLAIN = Templates()


def alert(number: int, **labels: str) -> Alert:
    named = {"alertname": "Down", "pod": f"p{number}", "zone": "b", **labels}
    said = {"summary": f"<pod {number}>", "link": "http://x/?a=1&b=2"}
    return Alert(
        f"{number:016x}", dict(sorted(named.items())), said, NOW - 3_600, NOW, NOW, generator_url="http://g"
    )


FIRES, ENDED = [alert(1, severity="critical"), alert(2)], [alert(3)]
DATA = data_of(
    Notice(
        "key",
        "{}:{}",
        "team",
        "slack[0]",
        Why.FIRST,
        NOW,
        NOW + 300,
        {"alertname": "Down"},
        (*FIRES, *ENDED),
        frozenset(each.fingerprint for each in FIRES),
        frozenset(each.fingerprint for each in ENDED),
    ),
    "http://am",
    NOW,
)
RESOLVED = replace(DATA, Status="resolved")


def text(source: str, data: Data = DATA) -> str:
    assert PLAIN.faults_of(source, "field") == []
    return PLAIN.text(source, data)


@pytest.mark.parametrize(
    ("go", "jinja", "shown"),
    [
        ("{{ .CommonLabels.alertname }}", "{{ CommonLabels.alertname }}", "Down"),
        ("{{ .CommonLabels.nothing }}", "{{ CommonLabels.nothing }}", ""),
        ("{{ .Status | toUpper }}", "{{ Status|toUpper }}", "FIRING"),
        ("{{ toUpper .Status }}", "{{ toUpper(Status) }}", "FIRING"),
        ("{{ title .Status }}", "{{ Status|title }}", "Firing"),
        ("{{ .Alerts.Firing | len }}", "{{ Alerts.Firing|length }}", "2"),
        ("{{ len .Alerts }}", "{{ Alerts.Firing() | length + Alerts.Resolved|length }}", "3"),
        (
            "{{ range .Alerts.Firing }}{{ .Labels.pod }},{{ end }}",
            "{% for alert in Alerts.Firing %}{{ alert.Labels.pod }},{% endfor %}",
            "p1,p2,",
        ),
        (
            "{{ range $i, $a := .Alerts }}{{ $i }}={{ $a.Labels.pod }} {{ end }}",
            "{% for alert in Alerts %}{{ loop.index0 }}={{ alert.Labels.pod }} {% endfor %}",
            "0=p1 1=p2 2=p3 ",
        ),
        (
            "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}",
            "{% for pair in CommonLabels.SortedPairs %}{{ pair.Name }}={{ pair.Value }};{% endfor %}",
            "alertname=Down;zone=b;",
        ),
        (
            "{{ range $k, $v := .CommonLabels }}{{ $k }}={{ $v }};{{ end }}",
            "{% for name, value in CommonLabels|items %}{{ name }}={{ value }};{% endfor %}",
            "alertname=Down;zone=b;",
        ),
        (
            '{{ if eq .Status "firing" }}f{{ else }}r{{ end }}',
            '{% if Status == "firing" %}f{% else %}r{% endif %}',
            "f",
        ),
        (
            '{{ if and (gt (len .Alerts) 2) (not (eq .Status "x" "y")) }}yes{{ end }}',
            '{% if Alerts|length > 2 and Status not in ["x", "y"] %}yes{% endif %}',
            "yes",
        ),
        (
            '{{ if eq .Status "a" }}1{{ else if ne .Status "firing" }}2{{ else }}3{{ end }}',
            '{% if Status == "a" %}1{% elif Status != "firing" %}2{% else %}3{% endif %}',
            "3",
        ),
        (
            "{{ with .CommonLabels.zone }}z={{ . }}{{ end }}",
            "{% with z = CommonLabels.zone %}z={{ z }}{% endwith %}",
            "z=b",
        ),
        ("{{ with .CommonLabels.no }}a{{ else }}none{{ end }}", "{{ CommonLabels.no or 'none' }}", "none"),
        ("{{ (index .Alerts 1).Labels.pod }}", "{{ Alerts[1].Labels.pod }}", "p2"),
        ('{{ index .CommonLabels "zone" }}', '{{ CommonLabels["zone"] }}', "b"),
        ('{{ .CommonLabels.Values | join "-" }}', '{{ CommonLabels.Values|join("-") }}', "Down-b"),
        ('{{ .CommonLabels.Names.Join "+" }}', '{{ CommonLabels.Names.Join("+") }}', "alertname+zone"),
        (
            '{{ (.CommonLabels.Remove (stringSlice "zone")).Values | join "," }}',
            '{{ CommonLabels.Remove(["zone"]).Values|join(",") }}',
            "Down",
        ),
        (
            "{{ .CommonLabels.Remove .GroupLabels.Names }}",
            "{{ CommonLabels.Remove(GroupLabels.Names) }}",
            "zone=b",
        ),
        (
            '{{ reReplaceAll "(.)o(.)" "$2-${1}" .CommonLabels.alertname }}',
            '{{ CommonLabels.alertname|reReplaceAll("(.)o(.)", "$2-${1}") }}',
            "w-Dn",
        ),
        (
            '{{ match "^D.*n$" .CommonLabels.alertname }}',
            '{{ CommonLabels.alertname|match("^D.*n$") }}',
            "true",
        ),
        (
            '{{ printf "%s/%5d|%-4s|%q" .Status 7 "x" "y" }}',
            '{{ printf("%s/%5d|%-4s|%q", Status, 7, "x", "y") }}',
            'firing/    7|x   |"y"',
        ),
        (
            "{{ .ExternalURL }}/#/?r={{ .Receiver | urlquery }}",
            "{{ ExternalURL }}/#/?r={{ Receiver|urlquery }}",
            "http://am/#/?r=team",
        ),
        (
            '{{ (index .Alerts 0).StartsAt.Format "15:04" }}',
            '{{ Alerts[0].StartsAt.Format("15:04") }}',
            "21:15",
        ),
        (
            '{{ (index .Alerts 0).StartsAt | tz "Asia/Shanghai" | date "15:04 MST" }}',
            '{{ Alerts[0].StartsAt|tz("Asia/Shanghai")|date("15:04 MST") }}',
            "05:15 CST",
        ),
        (
            '{{ ((index .Alerts 0).StartsAt.Add 28800e9).Format "15:04" }}',
            '{{ Alerts[0].StartsAt.Add(28800e9).Format("15:04") }}',
            "05:15",
        ),
        (
            "{{ since (index .Alerts 0).StartsAt | humanizeDuration }}",
            "{{ since(Alerts[0].StartsAt)|humanizeDuration }}",
            "1h 0m 0s",
        ),
        ('{{ now | date "15:04" }}', "{{ now().Format('15:04') }}", "22:15"),
        ("{{ toJson .CommonLabels }}", "{{ CommonLabels|toJson }}", '{"alertname":"Down","zone":"b"}'),
        (
            '{{ $n := "" }}{{ range .Alerts }}{{ $n = .Labels.pod }}{{ end }}{{ $n }}',
            "{% set n = namespace() %}{% for a in Alerts %}{% set n.x = a.Labels.pod %}{% endfor %}{{ n.x }}",
            "p3",
        ),
        ("a {{- /* said */ -}} b", "a {#- said -#} b", "ab"),
        ("a\n{{- .Status -}}\nb", "a\n{{- Status -}}\nb", "afiringb"),
        ('{{ template "slack.default.color" . }}', '{{ template("slack.default.color") }}', "danger"),
        (
            "{{ `{{ raw }}` }}{{ .Status }} {% {# {",
            "{{ '{{ raw }}firing {% {# {' }}",
            "{{ raw }}firing {% {# {",
        ),
        (
            '{{ range .Alerts }}{{ if eq .Labels.pod "p2" }}{{ break }}{{ end }}{{ .Labels.pod }}{{ end }}',
            "{% for a in Alerts if a.Labels.pod != 'p2' %}{{ a.Labels.pod }}{% break %}{% endfor %}",
            "p1",
        ),
    ],
)
def test_a_go_template_and_its_jinja_show_the_same(go: str, jinja: str, shown: str) -> None:
    assert (looks_go(go), looks_go(jinja)) == (True, False)
    assert text(go) == shown
    assert text(jinja) == shown


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("a\n{{ .Foo }}", 2, "there is no .Foo; there are .Alerts"),
        ("{{ .Status | nope }}", 1, "there is no function nope"),
        ("{{ slice .Status 1 2 }}", 1, "write this template in Jinja, as text[1:3]"),
        ("{{ toUpper .Status .Status }}", 1, "toUpper: too many positional arguments"),
        ("{{ if .Status }}", 1, "if has no end"),
        ("\n{{ end }}{{ .Status }}", 2, "end ends nothing"),
        ("{{ $x }}", 1, "$x is not declared here"),
        ("{{ .Status ", 1, "}} is missing"),
        ("{{ range $i, $a := .Alerts }}{{ $a = 1 }}{{ end }}", 1, "belongs to its range"),
        ("{{ .Status | }}", 1, "a value is missing"),
        ("{{ 'x' | .Status }}", 1, "is not understood"),
        ('{{ define "x" }}a{{ end }}{{ .Status }}', 1, "define belongs into a file"),
        ("{{ Statsu }}", 1, "there is no Statsu; there are Alerts"),
        ('\n\n{{ template("nope") }}', 3, "no template is named 'nope'"),
        ('{{ template "nope" . }}', 1, "no template is named 'nope'"),
        ("{% include 'x' %}", 1, 'say {{ template("name") }}'),
        ("{% if Status %}", 1, "Unexpected end of template"),
        ("{{ Status|lipsum }}", 1, "No filter named 'lipsum'"),
        ("{{ " + "(" * 5_000 + ")" * 5_000 + " }}", 1, ""),
        ("{{ .Status }}" + "{{ if .Status }}" * 100 + "{{ end }}" * 100, 1, "nested more than 60 deep"),
        ("x" * 300_000 + "{{ Status }}", 1, "are taken"),
    ],
)
def test_what_is_wrong_is_said_by_line_when_it_is_read(source: str, line: int, said: str) -> None:
    [fault] = PLAIN.faults_of(source, "slack_configs[0].title")
    assert (fault.where, fault.line) == ("slack_configs[0].title", line)
    assert said in fault.what


def test_faults_name_the_field_also_deep_inside() -> None:
    slack = SlackConfig.model_validate(
        {"title": "{{ .Status }}", "actions": [{"type": "button", "text": "{{ .Nope }}", "url": "u"}]}
    )
    [fault] = PLAIN.faults(slack, "slack_configs[0]")
    assert fault.where == "slack_configs[0].actions[0].text"
    mail = EmailConfig.model_validate({"to": "a@b.c", "from": "{{ .No }}", "auth_password": "{{ it is one"})
    assert [fault.where for fault in PLAIN.faults(mail)] == ["from"]


def test_files_define_templates_in_either_language() -> None:
    templates = Templates(
        {
            "a.tmpl": '{{ define "go.title" }}{{ range . }}[{{ .Labels.pod }}]{{ end }}{{ end }} beside',
            "b.j2": '{% define "jinja.title" %}{{ template("go.title", Alerts.Firing) }}!{% enddefine %}',
            "c.tmpl": '{{ define "slack.default.title" }}ours {{ template "jinja.title" . }}{{ end }}',
        }
    )
    assert templates.text('{{ template "slack.default.fallback" . }}', DATA).startswith("ours [p1][p2]! | ")
    assert "go.title" in templates.names()


def test_everything_that_is_wrong_with_files_is_said_at_once() -> None:
    with pytest.raises(TemplateFaults) as raised:
        Templates({"a": "\n{{ .Status | nope }}", "b": '{{ define "x" }}{{ template "y" . }}{{ end }}'})
    assert [str(fault).partition(":")[0] for fault in raised.value.faults] == ["a, line 2", "b, line 1"]


def test_html_is_escaped_and_text_is_not() -> None:
    source = "{{ Alerts[0].Annotations.summary }}"
    assert PLAIN.text(source, DATA) == "<pod 1>"
    assert PLAIN.html(source, DATA) == "&lt;pod 1&gt;"
    assert PLAIN.html("{{ Alerts[0].Annotations.summary|safeHtml }}", DATA) == "<pod 1>"
    page = PLAIN.html('{{ template "email.default.html" . }}', DATA)
    assert "<pod 1>" not in page
    assert page.count("&lt;pod 1&gt;") == 2
    link = replace(DATA, ExternalURL="javascript:alert(1)")
    assert "javascript" not in PLAIN.html('{{ template("email.default.html") }}', link)


def test_default_texts_are_alertmanagers() -> None:
    assert text('{{ template "slack.default.title" . }}') == "[FIRING:2] Down (b)"
    assert text('{{ template "slack.default.title" . }}', RESOLVED) == "[RESOLVED] Down (b)"
    assert text('{{ template "slack.default.titlelink" . }}') == "http://am/#/alerts?receiver=team"
    assert text('{{ template "pagerduty.default.instances" .Alerts.Resolved }}') == (
        "Labels:\n - alertname = Down\n - pod = p3\n - zone = b\nAnnotations:\n"
        " - link = http://x/?a=1&b=2\n - summary = <pod 3>\nSource: http://g\n"
    )


@pytest.mark.parametrize("name", PLAIN.names())
def test_every_default_text_can_be_filled_in(name: str) -> None:
    dot = {
        "__text_alert_list": "Alerts",
        "__text_alert_list_markdown": "Alerts",
        "pagerduty.default.instances": "Alerts",
        "email.default.html_alert": "Alerts[0]",
        "email.default.html_alerts": '("Firing", Alerts)',
        "muster.default.alert_title": "Alerts[0]",
        "muster.default.markdown_alert": "Alerts[0]",
        "muster.default.text_alert": "Alerts[0]",
    }
    argument = f", {dot[name]}" if name in dot else ""
    source = f'{{{{ template("{name}"{argument}) }}}}'
    assert "no value" not in text(source) + PLAIN.html(source, DATA)


def grown(start: str, grows: str) -> str:
    loop = f"{{% for a in range(99) %}}{{% set ns.x = {grows} %}}{{% endfor %}}"
    return f"{{% set ns = namespace(x={start}) %}}{loop}"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{% for a in range(99999) %}{{ range(99999)|list }}{% endfor %}", id="lists in a loop"),
        pytest.param(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", id="loops"
        ),
        pytest.param("{% for a in range(99999) %}" + "x" * 1_000 + "{% endfor %}", id="text in a loop"),
        pytest.param(grown("'x'*99", "ns.x ~ ns.x"), id="~"),
        pytest.param(grown("'xx'", "ns.x + ns.x"), id="+"),
        pytest.param(grown("[1]", "ns.x + ns.x"), id="lists"),
        pytest.param("{{ 'x' * 999999999 }}", id="*"),
        pytest.param("{{ [1] * 999999999 }}", id="* of lists"),
        pytest.param("{{ 9 ** 999999999 }}", id="**"),
        pytest.param(grown("999999", "ns.x * ns.x"), id="squares"),
        pytest.param("{{ '%999999999d' % 1 }}", id="%"),
        pytest.param("{{ 'x'.ljust(999999999) }}", id="ljust"),
        pytest.param("{{ 'xxxx'|replace('', 'y' * 9999999) }}", id="replace"),
        pytest.param("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", id="macros"),
        pytest.param("{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", id="recursive loops"),
        pytest.param("{{ ''.__class__.__mro__ }}", id="classes"),
        pytest.param("{{ Alerts.__class__ }}", id="classes of ours"),
        pytest.param("{{ template.__globals__ }}", id="globals"),
        pytest.param("{{ Alerts[0].Labels._values.clear() }}", id="insides"),
        pytest.param("{{ namespace.__init__.__globals__ }}", id="globals of functions"),
        pytest.param("{{ Alerts[9].Labels }}", id="nothing there"),
        pytest.param("{{ reReplaceAll('(', '', 'x') }}", id="no regular expression"),
        pytest.param("{{ 1 / 0 }}", id="division"),
    ],
)
def test_a_template_can_cost_and_reach_no_more_than_its_bounds(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(TemplateError) as raised:
        PLAIN.text(source, DATA)
    assert time.thread_time() - began < 5
    assert len(str(raised.value)) <= 400


def test_a_template_that_fills_in_itself_ends() -> None:
    templates = Templates({"a": '{{ define "a" }}{{ template "a" . }}{{ template "a" . }}{{ end }}'})
    with pytest.raises(TemplateError, match="deep"):
        templates.text('{{ template "a" . }}', DATA)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    began = time.thread_time()
    assert PLAIN.text('{{ match("^(a+)+$", "a" * 50000 ~ "b") }}', DATA) == "false"
    assert time.thread_time() - began < 1


@given(st.text(max_size=60))
def test_text_of_go_is_text_whatever_stands_in_it(around: str) -> None:
    plain = around.replace("{{", "{")
    source = f"{plain}|{{{{ .Status }}}}"
    if plain.endswith("{"):
        source = source.replace("{|", "{ |")
    expected = source.replace("{{ .Status }}", "firing").replace("\r\n", "\n").replace("\r", "\n")
    assert PLAIN.text(source, DATA) == expected


@given(st.text(alphabet='.$|(){}"` \n:=,-aAif end range with.Alerts0123', max_size=40))
def test_whatever_is_no_go_is_refused_by_line_and_nothing_else_happens(inside: str) -> None:
    source = f"{{{{ {inside} }}}}"
    wrong = PLAIN.faults_of(source, "field")
    try:
        converted(source)
    except GoTemplateError as error:
        wrong.append(Fault("", error.line, error.what))
    assert all(1 <= fault.line <= source.count("\n") + 1 for fault in wrong)


@given(st.text(max_size=60))
def test_strings_of_go_arrive_as_they_were_written(said: str) -> None:
    written = "".join(f"\\U{ord(c):08x}" if not 0xD800 <= ord(c) < 0xE000 else "?" for c in said)
    shown = "".join("?" if 0xD800 <= ord(c) < 0xE000 else c for c in said)
    assert PLAIN.text(f'{{{{ print .Status "{written}" }}}}', DATA) == f"firing{shown}"
