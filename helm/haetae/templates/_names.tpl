{{- define "haetae.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name $name }}{{ end }}
{{- end }}
{{- end }}

{{- define "haetae.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of what belongs to no single component. */}}
{{- define "haetae.labels" -}}
{{ include "haetae.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: haetae
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "haetae.component.selector" -}}
{{ include "haetae.selector" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* `haetae-role` is the role of the contracts: network policies select by it. */}}
{{- define "haetae.component.labels" -}}
{{ include "haetae.labels" .root }}
app.kubernetes.io/component: {{ .name }}
haetae-role: {{ .role }}
{{- if .exchange }}
haetae-exchange: {{ .exchange.id }}
{{- end }}
{{- end }}

{{- define "haetae.metadata" -}}
name: {{ .fullname }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "haetae.component.labels" . | nindent 2 }}
{{- end }}

{{/* The DNS name of a Service of this release. */}}
{{- define "haetae.host" -}}
{{ .fullname }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{- define "haetae.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* What every container may do: nothing but run. */}}
{{- define "haetae.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "haetae.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* What every pod has in common; `automountServiceAccountToken` is off because no program talks to Kubernetes. */}}
{{- define "haetae.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- /* Names of Services are written out: looking through the search domains first would cost every resolution. */}}
dnsConfig:
  options:
    - { name: ndots, value: "2" }
securityContext:
  {{- include "haetae.podSecurity" . | nindent 2 }}
{{- end }}
