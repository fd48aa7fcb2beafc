{{- define "muster.labels" -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "muster.selector" -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "muster.name" -}}
{{- if contains "muster" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-muster" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- define "muster.account" -}}
{{ .Values.serviceAccount.name | default (include "muster.name" .) }}
{{- end }}

{{- define "muster.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "muster.checks" -}}
{{- if not .Values.nats.urls -}}
{{- fail "nats.urls: the addresses of your NATS servers are needed: [nats://nats-0.nats:4222, ...]" -}}
{{- end -}}
{{- if not .Values.postgres.existingSecret -}}
{{- fail "postgres.existingSecret: a Secret with the DSN of your Postgres is needed" -}}
{{- end -}}
{{- if not .Values.keys.existingSecret -}}
{{- fail "keys.existingSecret: a Secret of the files in keys/ that `muster nats init` wrote is needed" -}}
{{- end -}}
{{- if and .Values.tokens.lines .Values.tokens.existingSecret -}}
{{- fail "tokens.lines and tokens.existingSecret: name one of them" -}}
{{- end -}}
{{- if not (or .Values.tokens.lines .Values.tokens.existingSecret) -}}
{{- fail "tokens.existingSecret: without tokens nobody may use the API: muster token NAME --role admin" -}}
{{- end -}}
{{- if and .Values.alerts.config .Values.alerts.existingSecret -}}
{{- fail "alerts.config and alerts.existingSecret: name one of them" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: needed where ingress.enabled" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.podMonitor.tokenSecret.name) -}}
{{- fail "podMonitor.tokenSecret.name: /metrics wants the token of a viewer" -}}
{{- end -}}
{{- $loops := list -}}
{{- range $name, $one := .Values.deployments -}}
{{- if $one -}}{{- $loops = concat $loops $one.loops -}}{{- end -}}
{{- end -}}
{{- range (list "deciding" "alerting" "api") -}}
{{- if not (has . $loops) -}}
{{- fail (printf "deployments: none has the loop %s" .) -}}
{{- end -}}
{{- end -}}
{{- end }}
