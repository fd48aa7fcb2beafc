{{- define "muster-agent.labels" -}}
app.kubernetes.io/name: muster-agent
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "muster-agent.selector" -}}
app.kubernetes.io/name: muster-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "muster-agent.account" -}}
{{ .Values.serviceAccount.name | default "muster-agent" }}
{{- end }}

{{- define "muster-agent.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "muster-agent.checks" -}}
{{- if ne .Release.Namespace "muster-system" -}}
{{- fail (printf "namespace %s: the agent keeps its lease, its records and its keys in muster-system: install it there (-n muster-system)" .Release.Namespace) -}}
{{- end -}}
{{- if and .Values.join.token .Values.join.existingSecret -}}
{{- fail "join.token and join.existingSecret: name one of them" -}}
{{- end -}}
{{- if and (or .Values.join.token .Values.join.existingSecret) (not .Values.centre.url) -}}
{{- fail "centre.url: how this cluster reaches the centre's API is needed to join" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.keysSecret) -}}
{{- fail "keysSecret: several replicas share their keys through a Secret: name it, or set replicas to 1" -}}
{{- end -}}
{{- end }}
