{{/* A list of texts in TOML. JSON's texts are TOML's too. */}}
{{- define "haetae.toml.list" -}}
[{{- range $place, $text := . }}{{ if $place }}, {{ end }}{{ $text | toJson }}{{ end -}}]
{{- end }}

{{/* The lines of certificate, key and authorities, from the folder they are mounted in. */}}
{{- define "haetae.toml.tls" -}}
cert = "{{ .folder }}/tls.crt"
key = "{{ .folder }}/tls.key"
client_ca = {{ ternary "/etc/haetae/mesh-ca.crt" (printf "%s/ca.crt" .folder) (not (empty .bundle)) | toJson }}
{{- end }}

{{- define "haetae.tlsFolder" -}}
{{ ternary "/run/spiffe" "/etc/haetae/tls" (eq .Values.certificates.mode "spiffe-csi") }}
{{- end }}

{{/* Who may be whom, exactly: no pattern stands where a name can, and no role that the contracts do not let call. */}}
{{- define "haetae.toml.roles" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $ids := dict }}
{{- range $component := .components }}
{{- if $component.log }}
{{- $_ := set $ids $component.role (append (default list (index $ids $component.role)) (include "haetae.spiffe" $component)) }}
{{- end }}
{{- end }}
{{- $outside := dict "agency" (keys $values.systems | sortAlpha) "auditor" $values.auditors "operator" $values.operators }}
{{- range $role, $names := $outside }}
{{- range $name := $names }}
{{- $_ := set $ids $role (append (default list (index $ids $role)) (printf "spiffe://%s/%s/%s" $values.trustDomain $role $name)) }}
{{- end }}
{{- end }}
{{- if $values.tests.enabled }}
{{- $_ := set $ids "auditor" (append (default list $ids.auditor) (include "haetae.spiffe" (include "haetae.tester" $root | fromYaml | merge (dict "root" $root)))) }}
{{- end }}
{{- $callers := index ($root.Files.Get "files/calls.yaml" | fromYaml) .role }}
{{- range $role, $of := $ids }}
{{- if has $role $callers }}
{{ $role }} = {{ include "haetae.toml.list" $of }}
{{- end }}
{{- end }}
{{- end }}

{{/* One line for each replica that the other side may have: each line finds a replica of its own, and calls go round. */}}
{{- define "haetae.toml.peer" }}
[peers.{{ .name }}]
{{- $url := printf "https://%s:8443" (include "haetae.host" .) }}
{{- $lines := list }}
{{- range until (min .maximum 8 | int) }}{{ $lines = append $lines $url }}{{ end }}
endpoints = {{ include "haetae.toml.list" $lines }}
server_name = {{ include "haetae.spiffe" . | toJson }}
{{- end }}

{{/* `[database]` for a role. The password comes from the environment, PGPASSWORD. */}}
{{- define "haetae.toml.database" -}}
{{- $postgres := .component.root.Values.postgres -}}
{{- $database := .component.settings.database -}}
{{- $query := printf "sslmode=%s&application_name=%s" $postgres.sslMode .component.fullname -}}
{{- if $postgres.caSecret }}{{ $query = printf "%s&sslrootcert=/etc/haetae/postgres-ca.crt" $query }}{{ end -}}
[database]
url = "postgres://{{ .role }}@{{ $postgres.host }}:{{ int $postgres.port }}/{{ $database.name }}?{{ $query }}"
max_connections = {{ int .connections }}
{{- end }}

{{/* `haetae.toml` of a component; takes `component` and `components`. */}}
{{- define "haetae.toml" -}}
{{- $component := .component }}
{{- $root := $component.root }}
{{- $values := $root.Values }}
{{- $settings := $component.settings }}
{{- $sandbox := eq $component.role "sandbox" }}
{{- $bundle := $values.certificates.trustBundle.configMap }}
{{- $folder := ternary "/etc/haetae/exchange-tls" (include "haetae.tlsFolder" $root) $sandbox -}}
[server]
listen = "{{ $values.listenAddress }}:8443"
probe_listen = "{{ $values.listenAddress }}:8080"

[server.tls]
{{ include "haetae.toml.tls" (dict "folder" $folder "bundle" (ternary "" $bundle $sandbox)) }}

[server.limits]
replicas = {{ $component.maximum }}

[server.drain]
grace_ms = {{ int $settings.drain.graceMs }}
limit_ms = {{ int $settings.drain.limitMs }}
{{- if not $sandbox }}

[server.roles]
{{- include "haetae.toml.roles" (dict "root" $root "components" .components "role" $component.role) }}
{{- end }}
{{- if eq $component.role "intake" }}

[server.persons]
issuer = {{ $values.persons.issuer | toJson }}
audience = {{ $values.persons.audience | toJson }}
jwks = "/etc/haetae/persons/jwks.json"
leeway_seconds = {{ int $values.persons.leewaySeconds }}
{{- range $name, $system := $values.systems }}

[server.systems."spiffe://{{ $values.trustDomain }}/agency/{{ $name }}"]
agency = {{ $system.agency | toJson }}
name = {{ $system.name | toJson }}
{{- end }}
{{- end }}

{{ include "haetae.toml.database" (dict "component" $component "connections" $settings.database.maxConnections "role" $settings.database.role) }}
{{- if not $sandbox }}
migrate = "{{ ternary "start" "check" (eq $values.migrations.mode "start") }}"
{{- if $values.postgres.expectSynchronousStandby }}
expect_synchronous_standby = true
{{- end }}

[log]
origin = "{{ default $values.trustDomain $values.logOrigin }}/{{ $component.log }}"
key = "/etc/haetae/keys/log.pem"
{{- end }}

[telemetry]
{{- with include "haetae.otlpEndpoint" $root }}
otlp_endpoint = {{ . | toJson }}
{{- end }}
format = {{ $values.telemetry.format | toJson }}
level = {{ $values.telemetry.level | toJson }}
{{- if not $sandbox }}
{{- $calls := $root.Files.Get "files/calls.yaml" | fromYaml }}
{{- range $peer := .components }}
{{- if and $peer.log (ne $peer.name $component.name) (has $component.role (index $calls $peer.role)) }}
{{ include "haetae.toml.peer" $peer }}
{{- end }}
{{- end }}
{{- end }}

[service]
registry = "/etc/haetae/exchanges.toml"
{{- if eq $component.role "intake" }}
rules = "/etc/haetae/legal/legal-basis.toml"
keys = { authorise = "/etc/haetae/keys/authorise.pem" }
{{- else if eq $component.role "tracking" }}
keys = { arrive = "/etc/haetae/keys/arrive.pem", confirm = "/etc/haetae/keys/confirm.pem" }
{{- else if eq $component.role "freeze" }}
keys = { freeze = "/etc/haetae/keys/freeze.pem" }
{{- else if eq $component.role "connector" }}
exchange = {{ $component.exchange.id | toJson }}
certificate = { cert = "/etc/haetae/exchange-tls/tls.crt", key = "/etc/haetae/exchange-tls/tls.key" }
{{- else }}
{{- $rehearsal := $values.rehearsal }}
exchange = {{ $component.exchange.id | toJson }}
callers = ["spiffe://{{ $rehearsal.trustDomain }}/clients/{{ $component.exchange.id }}"]
keys = { log = "/etc/haetae/keys/log.pem" }
hotline = { name = {{ printf "%s rehearsal desk" $component.exchange.displayName | toJson }} }

[service.control]
listen = "{{ $values.listenAddress }}:8444"
probe_listen = "{{ $values.listenAddress }}:8081"

[service.control.tls]
{{ include "haetae.toml.tls" (dict "folder" (include "haetae.tlsFolder" $root) "bundle" $bundle) }}

[service.control.roles]
operator = {{ $operators := list }}{{ range $values.operators }}{{ $operators = append $operators (printf "spiffe://%s/operator/%s" $values.trustDomain .) }}{{ end }}{{ include "haetae.toml.list" $operators }}
{{- end }}
{{- end }}

{{/* What a migration is told: it reads nothing but `[database]`. */}}
{{- define "haetae.toml.migrate" -}}
{{ include "haetae.toml.database" (dict "component" .component "connections" 1 "role" .component.settings.database.ownerRole) }}
{{- end }}

{{/*
The chains as one list in TOML, for the environment, where Kubernetes puts the URLs of nodes from Secrets into the
places of `$(NODE_…)`. What is not given is the program's own to choose.
*/}}
{{- define "haetae.toml.chains" -}}
[
{{- range $place, $chain := .Values.chains }}{{ if $place }}, {{ end -}}
{ id = {{ $chain.id | toJson }}
{{- range $key, $name := dict "confirmations" "confirmations" "finalAfter" "final_after" "maxReorgDepth" "max_reorg_depth" "blockTimeMs" "block_time_ms" "pollMs" "poll_ms" }}
{{- if hasKey $chain $key }}, {{ $name }} = {{ int (index $chain $key) }}{{ end }}
{{- end }}
{{- if hasKey $chain "lookAtWaiting" }}, look_at_waiting = {{ $chain.lookAtWaiting }}{{ end }}, nodes = [
{{- range $at, $node := $chain.nodes }}{{ if $at }}, {{ end }}{{ include "haetae.toml.node" (dict "node" $node "chain" $chain.id "variable" (printf "NODE_%d_%d" $place $at) "password" (printf "/etc/haetae/nodes/%d-%d" $place $at)) }}{{ end -}}
] }
{{- end -}}
]
{{- end }}

{{/* Likewise those that rehearsal exchanges watch. Their coins are by SLIP-44; development chains of Bitcoin share one. */}}
{{- define "haetae.toml.rehearsalChains" -}}
[
{{- range $place, $chain := .Values.rehearsal.chains }}{{ if $place }}, {{ end -}}
{{- $coin := ternary "60" (ternary "0" "1" (eq $chain.id "bip122:000000000019d6689c085ae165831e93")) (hasPrefix "eip155:" $chain.id) -}}
{ id = {{ $chain.id | toJson }}
{{- if $chain.node.existingSecret }}, http = "$(NODE_{{ $place }}_HTTP)"{{ if include "haetae.node.ws" (dict "node" $chain.node "chain" $chain.id) }}, ws = "$(NODE_{{ $place }}_WS)"{{ end }}
{{- else }}, http = {{ $chain.node.http | toJson }}{{ with $chain.node.ws }}, ws = {{ . | toJson }}{{ end }}
{{- end }}, assets = {{ include "haetae.toml.list" (concat (list (printf "%s/slip44:%s" $chain.id $coin)) (default list $chain.assets)) }}, hot_wallet_key_file = "/etc/haetae/keys/wallet", seed_file = "/etc/haetae/keys/seed" }
{{- end -}}
]
{{- end }}

{{- define "haetae.toml.node" -}}
{{- if .node.existingSecret -}}
{ http = "$({{ .variable }}_HTTP)"{{ if include "haetae.node.ws" . }}, ws = "$({{ .variable }}_WS)"{{ end }}
{{- range .node.secretKeys }}, {{ . }} = "$({{ $.variable }}_{{ upper . }})"{{ end }}
{{- else -}}
{ http = {{ .node.http | toJson }}
{{- range $key := list "ws" "api" "solidity" }}{{ with index $.node $key }}, {{ $key }} = {{ . | toJson }}{{ end }}{{ end }}
{{- end }}
{{- with .node.user }}, user = {{ . | toJson }}, password_file = {{ $.password | toJson }}{{ end }} }
{{- end }}

{{/* Whether a node's Secret has a URL for WebSocket: only nodes that speak Ethereum's JSON-RPC have one. */}}
{{- define "haetae.node.ws" -}}
{{- if and (not .node.httpOnly) (hasPrefix "eip155:" .chain) }}yes{{ end }}
{{- end }}

{{/* Passwords of nodes, as files. */}}
{{- define "haetae.nodePasswords" -}}
{{- range $place, $chain := .Values.chains }}
{{- range $at, $node := $chain.nodes }}
{{- if $node.user }}
- secret:
    name: {{ $node.existingSecret }}
    items: [{ key: password, path: nodes/{{ $place }}-{{ $at }} }]
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Variables with the URLs of a node. */}}
{{- define "haetae.nodeVariables" -}}
{{- if .node.existingSecret }}
- name: {{ .http }}
  valueFrom: { secretKeyRef: { name: {{ .node.existingSecret }}, key: http } }
{{- if include "haetae.node.ws" . }}
- name: {{ .ws }}
  valueFrom: { secretKeyRef: { name: {{ .node.existingSecret }}, key: ws } }
{{- end }}
{{- range .node.secretKeys }}
- name: {{ trimSuffix "_HTTP" $.http }}_{{ upper . }}
  valueFrom: { secretKeyRef: { name: {{ $.node.existingSecret }}, key: {{ . }} } }
{{- end }}
{{- end }}
{{- end }}

{{/* `exchanges.toml`, where it is made from values; takes the root and `components`. */}}
{{- define "haetae.exchanges.toml" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- range $purpose, $keys := $values.registry.agency.keys }}
{{- range $key := $keys }}
[[agency.key]]
purpose = {{ $purpose | toJson }}
public_key = {{ $key | toJson }}
{{ end }}
{{- end }}
{{- range $service, $verifier := $values.registry.agency.logs }}
[[agency.log]]
service = {{ $service | toJson }}
verifier = {{ $verifier | toJson }}
{{ end }}
{{- range $exchange := $values.exchanges }}
[[agency.log]]
service = "connector/{{ $exchange.id }}"
verifier = {{ $exchange.logVerifier | toJson }}
{{ end }}
{{- range $component := .components }}
{{- if eq $component.role "connector" }}
{{- $exchange := $component.exchange }}
{{- $sandbox := printf "%s-sandbox-%s" (include "haetae.fullname" $root) $exchange.id }}
{{- $host := include "haetae.host" (dict "root" $root "fullname" $sandbox) }}
[[exchange]]
id = {{ $exchange.id | toJson }}
display_name = {{ $exchange.displayName | toJson }}
endpoints = {{ include "haetae.toml.list" (default (list (printf "https://%s:8443" $host)) $exchange.endpoints) }}
server_name = {{ default (ternary $host (first (splitList ":" (trimPrefix "https://" (first (default (list "") $exchange.endpoints))))) (empty $exchange.endpoints)) $exchange.serverName | toJson }}
ca = "ca-{{ $exchange.id }}.crt"
confirm_within = {{ default "2s" $exchange.confirmWithin | toJson }}
freeze_within = {{ default "2s" $exchange.freezeWithin | toJson }}
chains = {{ include "haetae.toml.list" $exchange.chains }}
{{- with $exchange.hotline }}
hotline = { name = {{ .name | toJson }}, phone = {{ .phone | toJson }}{{ with .email }}, email = {{ . | toJson }}{{ end }} }
{{- end }}
{{- range $key := $exchange.keys }}

[[exchange.key]]
public_key = {{ $key | toJson }}
{{- end }}
{{ end }}
{{- end }}
{{- end }}
