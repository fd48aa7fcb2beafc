"""Go templates that convert show what Go itself makes of them: Debian's amtool is asked."""

import json
import subprocess
from pathlib import Path

import pytest

from controlplane.alerts.alert import Alert
from controlplane.alerts.notice import Notice, Why
from controlplane.alerts.rendering import data_of
from controlplane.alerts.templates import Templates
from tests.peers.debian import Peers

NOW = 1_700_000_100.0
FIRING, ENDED = ("p1", "p2"), "p3"

FILE = """
{{ define "list" }}{{ range . }}[{{ .Labels.pod }}]{{ else }}nobody{{ end }}{{ end }}
{{- define "loud" -}} {{- .Status | toUpper -}} ! {{- end }}
{{ define "emoji" -}}
  {{- if ne .Status "firing" -}} :ok: {{- else if eq .CommonLabels.zone "a" -}} :red:
  {{- else -}} :fire: {{- end -}}
{{- end }}
{{ define "worst" -}}
{{- $worst := "" -}}
{{- range .Alerts -}}
  {{- $severity := index .Labels "severity" -}}
  {{- if eq $severity "critical" -}}{{- $worst = "High" -}}
  {{- else if and (eq $severity "warning") (ne $worst "High") -}}{{- $worst = "Medium" -}}{{- end -}}
{{- end -}}
{{- $worst -}}
{{- end }}
"""

TEMPLATES = (
    "{{ .CommonLabels.alertname }} {{ .CommonLabels.nothing }}.",
    "{{ .Status | toUpper }} {{ toLower .Status }} {{ title .Status }}",
    "{{ .Alerts.Firing | len }}/{{ len .Alerts.Resolved }}",
    "{{ range $i, $a := .Alerts }}{{ $i }}={{ $a.Labels.pod }} {{ end }}",
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}",
    "{{ range $k, $v := .CommonLabels }}{{ $k }}={{ $v }};{{ end }}",
    "{{ range .Alerts.Firing }}{{ $.Status }}{{ .Labels.pod }}{{ end }}",
    '{{ range .Alerts }}{{ if eq .Labels.pod "p2" }}{{ break }}{{ end }}{{ .Labels.pod }}{{ end }}',
    '{{ range .Alerts }}{{ if eq .Labels.pod "p2" }}{{ continue }}{{ end }}{{ .Labels.pod }}{{ end }}',
    '{{ if and (gt (len .Alerts) 2) (not (eq .Status "x" "y")) }}yes{{ end }}',
    '{{ not .Status }} {{ and .Status 0 }} {{ or "" "x" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ ge 2 2 }}',
    "{{ with $x := .Status }}{{ $x }}{{ . }}{{ end }}{{ if $y := .Receiver }}{{ $y }}{{ end }}",
    "{{ with .CommonLabels.no }}a{{ else }}none{{ end }}",
    '{{ (index .Alerts 1).Labels.pod }} {{ index .CommonLabels "zone" | toUpper }}',
    '{{ .CommonLabels.Values | join "-" }} {{ .CommonLabels.SortedPairs.Names | join "," | title }}',
    '{{ (.CommonLabels.Remove (stringSlice "zone")).Values | join "," }}',
    "{{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join `,` }}{{ end }}",
    '{{ reReplaceAll "p(.)" "$1x ${1}x $2." "p1 p2" }} {{ match "^D.*n$" .CommonLabels.alertname }}',
    '{{ printf "%s/%5d|%-4s|%q|%05d|%.2f|%v %t %%" .Status 7 "x" "y\\n" 42 1.555 true false }}',
    '{{ printf "%s" }} {{ printf "a" 1 }} {{ print 1 2 "a" 3 }} {{ 1.50 }} {{ 1e3 }} {{ true }}',
    '{{ urlquery "a b&c/d?é~*" }} {{ html "<a\'\\"&" }} {{ js "a\'<b\\"\\n=" }}',
    '{{ (index .Alerts 0).StartsAt.Format "Mon, 02 Jan 2006 15:04:05.000 -0700 MST" }}',
    '{{ ((index .Alerts 0).StartsAt.Add 28800e9).Format "2006-01-02 3:04PM" }}',
    "{{ (index .Alerts 2).EndsAt.Sub (index .Alerts 2).StartsAt }} {{ (index .Alerts 0).StartsAt.Unix }}",
    "{{ (index .Alerts 0).StartsAt }} {{ (index .Alerts 0).EndsAt }}",
    '{{ title "hello-wORLD foo_bar it\'s example.com" }}',
    "a {{- /* said */ -}} b\n{{- .Status -}}\n c {{ `{{ raw }}` }} {% x {# y {",
    '{{ template "list" .Alerts.Resolved }} {{ template "list" (stringSlice) }} {{ template "loud" . }}',
    '{{ template "emoji" . }} {{ template "worst" . }}',
)


def alert(pod: str, severity: str) -> Alert:
    labels = {"alertname": "Down", "pod": pod, "severity": severity, "zone": "b"}
    summary = {"summary": f"<{pod}> & co"}
    return Alert(
        f"{pod[1]:0>16}", labels, summary, NOW - 3_600.25, NOW, NOW, generator_url="http://g?a=1&b=2"
    )


ALERTS = (alert("p1", "warning"), alert("p2", "critical"), alert("p3", "info"))
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
        ALERTS,
        frozenset(each.fingerprint for each in ALERTS[:2]),
        frozenset(each.fingerprint for each in ALERTS[2:]),
    ),
    "http://am",
    NOW,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("templates")
    (made / "own.tmpl").write_text(FILE)
    (made / "data.json").write_text(json.dumps(DATA.plain()))
    return made


def of_amtool(peers: Peers, folder: Path, source: str) -> str:
    files = [f"--template.glob={folder}/*.tmpl", f"--template.data={folder}/data.json"]
    command = [str(peers.amtool), "template", "render", *files, f"--template.text={source}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize("source", TEMPLATES)
def test_a_go_template_shows_what_go_shows(peers: Peers, folder: Path, source: str) -> None:
    templates = Templates({"own.tmpl": FILE})
    assert templates.faults_of(source, "field") == []
    assert templates.text(source, DATA) == of_amtool(peers, folder, source)
