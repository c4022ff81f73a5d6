{{/* Everything a program reads, in one folder: a mounted folder cannot hold another. */}}
{{- define "haetae.volumes" -}}
{{- $root := .component.root }}
{{- $values := $root.Values }}
{{- $component := .component }}
{{- $role := $component.role -}}
- name: tmp
  emptyDir: { sizeLimit: 16Mi }
- name: haetae
  projected:
    defaultMode: 288 # 0440
    sources:
      - configMap:
          name: {{ $component.fullname }}
      - configMap:
          name: {{ include "haetae.configMap.registry" $root }}
      - secret:
          name: {{ $component.settings.keysSecret }}
          items:
            {{- range $component.keys }}
            - { key: {{ . }}, path: keys/{{ . }} }
            {{- end }}
      {{- if eq $role "sandbox" }}
      {{- include "haetae.tlsSource" (dict "secret" (include "haetae.tlsSecret" $component) "folder" "exchange-tls") | nindent 6 }}
      {{- if ne $values.certificates.mode "spiffe-csi" }}
      {{- include "haetae.tlsSource" (dict "secret" (include "haetae.tlsSecret" (dict "root" $root "name" (printf "%s-control" $component.name))) "folder" "tls") | nindent 6 }}
      {{- end }}
      {{- else if ne $values.certificates.mode "spiffe-csi" }}
      {{- include "haetae.tlsSource" (dict "secret" (include "haetae.tlsSecret" $component) "folder" "tls") | nindent 6 }}
      {{- end }}
      {{- with $values.certificates.trustBundle }}
      {{- if .configMap }}
      - configMap:
          name: {{ .configMap }}
          items: [{ key: {{ .key }}, path: mesh-ca.crt }]
      {{- end }}
      {{- end }}
      {{- with $values.publicTrust }}
      {{- if .configMap }}
      - configMap:
          name: {{ .configMap }}
          items: [{ key: {{ .key }}, path: public-ca.crt }]
      {{- end }}
      {{- end }}
      {{- with $values.postgres }}
      {{- if .caSecret }}
      - secret:
          name: {{ .caSecret }}
          items: [{ key: {{ .caKey }}, path: postgres-ca.crt }]
      {{- end }}
      {{- end }}
      {{- if eq $role "tracking" }}
      {{- with include "haetae.nodePasswords" $root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- if eq $role "connector" }}
      - secret:
          name: {{ include "haetae.atExchangeSecret" $component }}
          items:
            - { key: tls.crt, path: exchange-tls/tls.crt }
            - { key: tls.key, path: exchange-tls/tls.key }
      {{- end }}
      {{- if eq $role "intake" }}
      - configMap:
          name: {{ include "haetae.configMap.legalBasis" $root }}
          items: [{ key: legal-basis.toml, path: legal/legal-basis.toml }]
      - configMap:
          name: {{ include "haetae.configMap.persons" $root }}
          items: [{ key: jwks.json, path: persons/jwks.json }]
      {{- end }}
{{- if eq $values.certificates.mode "spiffe-csi" }}
- name: spiffe
  csi:
    driver: spiffe.csi.cert-manager.io
    readOnly: true
    volumeAttributes:
      spiffe.csi.cert-manager.io/fs-group: "65532"
{{- end }}
{{- end }}

{{- define "haetae.tlsSource" -}}
- secret:
    name: {{ .secret }}
    items:
      - { key: tls.crt, path: {{ .folder }}/tls.crt }
      - { key: tls.key, path: {{ .folder }}/tls.key }
      - { key: ca.crt, path: {{ .folder }}/ca.crt }
{{- end }}

{{- define "haetae.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: haetae, mountPath: /etc/haetae, readOnly: true }
{{- if eq .Values.certificates.mode "spiffe-csi" }}
- { name: spiffe, mountPath: /run/spiffe, readOnly: true }
{{- end }}
{{- end }}

{{- define "haetae.environment" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
- name: PGPASSWORD
  valueFrom: { secretKeyRef: { name: {{ .settings.database.existingSecret }}, key: password } }
{{- if and $values.redis.enabled (or $values.redis.sentinels $values.redis.cluster) }}
{{- if $values.redis.sentinels }}
- { name: HAETAE__REDIS__SENTINELS, value: {{ toJson $values.redis.sentinels | quote }} }
- { name: HAETAE__REDIS__MASTER, value: {{ $values.redis.master | quote }} }
{{- else }}
- { name: HAETAE__REDIS__CLUSTER, value: {{ toJson $values.redis.cluster | quote }} }
{{- end }}
{{- with $values.redis.username }}
- { name: HAETAE__REDIS__USERNAME, value: {{ . | quote }} }
{{- end }}
{{- with $values.redis.passwordSecret }}
- name: HAETAE__REDIS__PASSWORD
  valueFrom: { secretKeyRef: { name: {{ . }}, key: password } }
{{- if $values.redis.sentinels }}
- name: HAETAE__REDIS__SENTINEL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ . }}, key: sentinelPassword, optional: true } }
{{- end }}
{{- end }}
{{- else if $values.redis.enabled }}
- name: HAETAE__REDIS__URL
  {{- if $values.redis.url }}
  value: {{ $values.redis.url | quote }}
  {{- else }}
  valueFrom: { secretKeyRef: { name: {{ $values.redis.existingSecret }}, key: {{ $values.redis.key }} } }
  {{- end }}
{{- end }}
{{- if include "haetae.otlpEndpoint" $root }}
# Tells apart in metrics what is one program: every connector is haetae-connector.
- { name: OTEL_RESOURCE_ATTRIBUTES, value: k8s.deployment.name={{ .fullname }} }
{{- end }}
{{- if $values.publicTrust.configMap }}
- { name: SSL_CERT_FILE, value: /etc/haetae/public-ca.crt }
{{- end }}
{{- if eq .role "tracking" }}
{{- range $place, $chain := $values.chains }}
{{- range $at, $node := $chain.nodes }}
{{- $variable := printf "NODE_%d_%d" $place $at }}
{{- include "haetae.nodeVariables" (dict "node" $node "chain" $chain.id "http" (printf "%s_HTTP" $variable) "ws" (printf "%s_WS" $variable)) }}
{{- end }}
{{- end }}
- name: HAETAE__SERVICE__CHAINS
  value: {{ include "haetae.toml.chains" $root | quote }}
{{- end }}
{{- if eq .role "sandbox" }}
{{- range $place, $chain := $values.rehearsal.chains }}
{{- $variable := printf "NODE_%d" $place }}
{{- include "haetae.nodeVariables" (dict "node" $chain.node "chain" $chain.id "http" (printf "%s_HTTP" $variable) "ws" (printf "%s_WS" $variable)) }}
{{- end }}
- name: HAETAE__SERVICE__CHAINS
  value: {{ include "haetae.toml.rehearsalChains" $root | quote }}
{{- end }}
{{- range $name, $value := .settings.settings }}
- { name: HAETAE__{{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{- define "haetae.checksum" -}}
{{- $root := .component.root -}}
{{- $text := printf "%s%s" (include "haetae.toml" .) $root.Values.registry.revision }}
{{- if not $root.Values.registry.existingConfigMap }}{{ $text = print $text (include "haetae.exchanges.toml" (dict "root" $root "components" .components)) }}{{ end }}
{{- if eq .component.role "intake" }}{{ $text = print $text (include "haetae.legalBasis" $root) }}{{ end }}
{{- $text | sha256sum }}
{{- end }}

{{- define "haetae.legalBasis" -}}
{{- if .Values.legalBasis.example }}{{ .Files.Get "files/legal-basis.example.toml" }}{{ else }}{{ .Values.legalBasis.toml }}{{ end }}
{{- end }}
