{{- define "vggse.labels" -}}
app.kubernetes.io/name: vggse-agent
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "vggse.selector" -}}
app.kubernetes.io/name: vggse-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vggse.name" -}}
{{ printf "%s-vggse-agent" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "vggse.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}{{ $i.repository }}@{{ $i.digest }}
{{- else -}}{{ $i.repository }}:{{ required "image.tag or image.digest is needed: which agent runs?" $i.tag }}
{{- end -}}
{{- end }}

{{- /* The settings file: the owner's, and what only the chart knows. */ -}}
{{- define "vggse.config" -}}
{{- $own := dict -}}
{{- if .Values.secret -}}{{- $_ := set $own "http" (dict "token_file" "/run/secrets/vggse-agent/token") -}}{{- end -}}
{{- if .Values.gpu.onnxruntime -}}{{- $_ := set $own "infer" (dict "library" "/opt/onnxruntime/libonnxruntime.so") -}}{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end }}

{{- define "vggse.seconds" -}}
{{- $n := regexFind "^[0-9]+" . | int -}}
{{- if hasSuffix "h" . -}}{{ mul $n 3600 }}{{- else if hasSuffix "m" . -}}{{ mul $n 60 }}{{- else -}}{{ $n }}{{- end -}}
{{- end }}
