{{/* Lays `over` over `base`, in place. Unlike `merge`, what is false, empty or 0 in `over` counts. */}}
{{- define "haetae.overlay" -}}
{{- $base := .base }}
{{- range $key, $value := .over }}
{{- $below := index $base $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $below) }}
{{- $_ := include "haetae.overlay" (dict "base" $below "over" $value) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $base $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Puts `components` into the dict it is given: every program of the release in one form.

name      intake, connector-upbit, sandbox-upbit
fullname  name of its Deployment, Service and so on
role      what the contracts call it
program   the binary
identity  the path of its SPIFFE id
log       the service as the registry names it; none for sandboxes, which are no part of the mesh
settings  `defaults` with the differences laid over them
exchange  the entry of `exchanges`, for connectors and sandboxes
keys      files in the Secret with its keys
maximum   the most replicas it can have
*/}}
{{- define "haetae.components" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $all := list }}
{{- range $name, $keys := dict "intake" (list "log.pem" "authorise.pem") "tracking" (list "log.pem" "arrive.pem" "confirm.pem") "freeze" (list "log.pem" "freeze.pem") }}
{{- $all = append $all (dict "name" $name "role" $name "identity" $name "log" $name "keys" $keys "over" (list (index $values.services $name))) }}
{{- end }}
{{- range $exchange := $values.exchanges }}
{{- $all = append $all (dict "name" (printf "connector-%s" $exchange.id) "role" "connector" "identity" (printf "connector/%s" $exchange.id) "log" (printf "connector/%s" $exchange.id) "keys" (list "log.pem") "exchange" $exchange "over" (list $values.connectors (default dict $exchange.connector))) }}
{{- end }}
{{- if $values.rehearsal.enabled }}
{{- range $exchange := $values.exchanges }}
{{- $all = append $all (dict "name" (printf "sandbox-%s" $exchange.id) "role" "sandbox" "identity" (printf "sandbox/%s" $exchange.id) "keys" (list "log.pem" "wallet" "seed") "exchange" $exchange "over" (list $values.rehearsal.sandbox)) }}
{{- end }}
{{- end }}
{{- range $component := $all }}
{{- $settings := deepCopy $values.defaults }}
{{- range $over := $component.over }}
{{- $_ := include "haetae.overlay" (dict "base" $settings "over" (deepCopy $over)) }}
{{- end }}
{{- $fullname := printf "%s-%s" (include "haetae.fullname" $root) $component.name }}
{{- $slug := $component.name | replace "-" "_" }}
{{- $database := $settings.database }}
{{- $_ := set $database "name" (default (printf "haetae_%s" $slug) $database.name) }}
{{- $_ := set $database "role" (default (printf "haetae_%s" $slug) $database.role) }}
{{- $_ := set $database "ownerRole" (default (printf "%s_owner" $database.role) $database.ownerRole) }}
{{- $_ := set $database "existingSecret" (default (printf "%s-db" $fullname) $database.existingSecret) }}
{{- $_ := set $database "ownerSecret" (default (printf "%s-db-owner" $fullname) $database.ownerSecret) }}
{{- $_ := set $settings "keysSecret" (default (printf "%s-keys" $fullname) $settings.keysSecret) }}
{{- $_ := set $component "root" $root }}
{{- $_ := set $component "fullname" $fullname }}
{{- $_ := set $component "program" (printf "haetae-%s" $component.role) }}
{{- $_ := set $component "settings" $settings }}
{{- $_ := set $component "maximum" (int (ternary $settings.autoscaling.maxReplicas $settings.replicas $settings.autoscaling.enabled)) }}
{{- $_ := set $component "serviceAccount" (include "haetae.serviceAccount" $component) }}
{{- end }}
{{- $_ := set . "components" $all }}
{{- end }}

{{/*
csi-driver-spiffe makes the SPIFFE id from the service account. A connector's id must end in its exchange, so there its
account is called as the exchange is.
*/}}
{{- define "haetae.serviceAccount" -}}
{{- if and (eq .root.Values.certificates.mode "spiffe-csi") (eq .role "connector") -}}
{{ .exchange.id }}
{{- else -}}
{{ .fullname }}
{{- end }}
{{- end }}

{{- define "haetae.spiffe" -}}
{{- $values := .root.Values -}}
{{- if and (eq $values.certificates.mode "spiffe-csi") .serviceAccount -}}
spiffe://{{ $values.trustDomain }}/ns/{{ .root.Release.Namespace }}/sa/{{ .serviceAccount }}
{{- else -}}
spiffe://{{ $values.trustDomain }}/{{ .identity }}
{{- end }}
{{- end }}

{{- define "haetae.terminationSeconds" -}}
{{- /* Beyond grace and limit: 1 s to cut, 5 s for tasks, 6 s to flush traces and metrics, 1 s for the runtime; 5 to spare. */}}
{{- add (div (add (int .settings.drain.graceMs) (int .settings.drain.limitMs) 999) 1000) 18 }}
{{- end }}

{{/* The Secret with the certificate of a component, or of another holder of one. */}}
{{- define "haetae.tlsSecret" -}}
{{- $values := .root.Values }}
{{- if eq $values.certificates.mode "existing" }}{{ index $values.certificates.existing .name }}{{ else }}{{ include "haetae.fullname" .root }}-{{ .name }}-tls{{ end }}
{{- end }}

{{/* The Secret with which a connector is known to its exchange. */}}
{{- define "haetae.atExchangeSecret" -}}
{{- if .root.Values.rehearsal.enabled -}}
{{ include "haetae.tlsSecret" (dict "root" .root "name" (printf "at-%s" .exchange.id)) }}
{{- else -}}
{{ default (printf "%s-at-%s-tls" (include "haetae.fullname" .root) .exchange.id) .exchange.clientCertificateSecret }}
{{- end }}
{{- end }}

{{- define "haetae.configMap.registry" -}}
{{ default (printf "%s-registry" (include "haetae.fullname" .)) .Values.registry.existingConfigMap }}
{{- end }}

{{- define "haetae.configMap.legalBasis" -}}
{{ default (printf "%s-legal-basis" (include "haetae.fullname" .)) .Values.legalBasis.existingConfigMap }}
{{- end }}

{{- define "haetae.configMap.persons" -}}
{{ default (printf "%s-persons" (include "haetae.fullname" .)) .Values.persons.existingConfigMap }}
{{- end }}

{{- define "haetae.otlpEndpoint" -}}
{{- if .Values.telemetry.otlpEndpoint }}{{ .Values.telemetry.otlpEndpoint }}
{{- else if .Values.collector.enabled }}http://{{ include "haetae.fullname" . }}-collector.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:4317
{{- end }}
{{- end }}
