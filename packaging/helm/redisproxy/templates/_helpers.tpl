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
{{- $ours := dict "listen" $listen "admin" $admin }}
{{- if .Values.fleet.enabled }}
{{- $ours = merge (dict "fleet" (include "redisproxy.fleet" . | fromYaml)) $ours }}
{{- end }}
{{- merge $ours .Values.config | toPrettyJson }}
{{- end }}

{{- define "redisproxy.fleet" -}}
listen:
  addr: ":{{ .Values.ports.fleet }}"
peers: ["{{ .Release.Name }}-peers:{{ .Values.ports.fleet }}"]
secret: "${FLEET_SECRET}"
{{- end }}
