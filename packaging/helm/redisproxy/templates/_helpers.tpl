{{- define "redisproxy.selector" -}}
app.kubernetes.io/name: redisproxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "redisproxy.labels" -}}
{{ include "redisproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "redisproxy.config" -}}
{{- $listen := merge (dict "addr" (printf ":%v" .Values.ports.redis)) .Values.listen }}
{{- $admin := dict "addr" (printf ":%v" .Values.ports.admin) "allow_open" true }}
{{- merge (dict "listen" $listen "admin" $admin) .Values.config | toPrettyJson }}
{{- end }}
