{{/* Values that contradict each other, each refused with a sentence. What a single value may be is the schema's. */}}
{{- define "haetae.validate" -}}
{{- $root := . }}
{{- $values := .Values }}
{{- $mesh := dict "root" . }}
{{- $_ := include "haetae.components" $mesh }}
{{- range $what, $value := dict "trustDomain" $values.trustDomain "postgres.host" $values.postgres.host "persons.issuer" $values.persons.issuer }}
{{- if empty $value }}{{ fail (printf "%s is required: the chart cannot guess it." $what) }}{{ end }}
{{- end }}
{{- include "haetae.validate.image" . }}
{{- include "haetae.validate.certificates" $mesh }}
{{- include "haetae.validate.given" . }}
{{- include "haetae.validate.exchanges" . }}
{{- include "haetae.validate.chains" . }}
{{- include "haetae.validate.telemetry" . }}
{{- range $mesh.components }}{{ include "haetae.validate.component" . }}{{ end }}
{{- include "haetae.validate.connections" $mesh }}
{{- if $values.networkPolicy.enabled }}{{ include "haetae.validate.policies" . }}{{ end }}
{{- end }}

{{- define "haetae.validate.image" -}}
{{- with .Values.image }}
{{- if and (eq (default $.Chart.AppVersion .tag) "latest") (not .digest) }}{{ fail "image.tag is `latest`: nobody could say which program ran. Name a version or a digest." }}{{ end }}
{{- end }}
{{- if and .Values.collector.enabled (eq .Values.collector.image.tag "latest") }}{{ fail "collector.image.tag is `latest`: name a version." }}{{ end }}
{{- end }}

{{- define "haetae.validate.certificates" -}}
{{- $values := .root.Values }}
{{- $certificates := $values.certificates }}
{{- if eq $certificates.mode "cert-manager" }}
{{- if empty $certificates.issuerRef.name }}{{ fail "certificates.mode is cert-manager, but certificates.issuerRef.name names no issuer." }}{{ end }}
{{- if $values.rehearsal.enabled }}
{{- if empty $values.rehearsal.issuerRef.name }}{{ fail "rehearsal.enabled needs rehearsal.issuerRef.name: exchanges have an authority of their own." }}{{ end }}
{{- if eq (toJson $values.rehearsal.issuerRef) (toJson $certificates.issuerRef) }}{{ fail "rehearsal.issuerRef is the mesh's own issuer: an exchange could then call itself a service of the mesh. Name another." }}{{ end }}
{{- end }}
{{- else if eq $certificates.mode "existing" }}
{{- $holders := list }}
{{- range .components }}
{{- $holders = append $holders .name }}
{{- if not .log }}{{ $holders = concat $holders (list (printf "%s-control" .name) (printf "at-%s" .exchange.id)) }}{{ end }}
{{- end }}
{{- if $values.tests.enabled }}{{ $holders = append $holders "helm-test" }}{{ end }}
{{- range $holder := $holders }}
{{- if not (index $certificates.existing $holder) }}{{ fail (printf "certificates.mode is existing, but certificates.existing names no Secret for %s." $holder) }}{{ end }}
{{- end }}
{{- range $holder, $_ := $certificates.existing }}
{{- if not (has $holder (append $holders "helm-test")) }}{{ fail (printf "certificates.existing names a Secret for %s, which is no part of this mesh; its parts are %s." $holder (join ", " $holders)) }}{{ end }}
{{- end }}
{{- else if $values.rehearsal.enabled }}
{{- fail "rehearsal.enabled needs certificates.mode cert-manager or existing: csi-driver-spiffe issues from one authority, and exchanges have their own." }}
{{- end }}
{{- if and (ne $certificates.mode "existing") $certificates.existing }}{{ fail (printf "certificates.existing names Secrets, but certificates.mode is %s: choose one." $certificates.mode) }}{{ end }}
{{- end }}

{{/* What can be given in two ways is given in exactly one. */}}
{{- define "haetae.validate.given" -}}
{{- $values := .Values }}
{{- with $values.persons }}
{{- if and .jwks .existingConfigMap }}{{ fail "persons.jwks and persons.existingConfigMap are both given: which keys are believed?" }}{{ end }}
{{- if not (or .jwks .existingConfigMap) }}{{ fail "Whose tokens are accepted? Give persons.jwks or persons.existingConfigMap." }}{{ end }}
{{- end }}
{{- with $values.legalBasis }}
{{- $given := compact (list .toml .existingConfigMap (ternary "example" "" .example)) }}
{{- if gt (len $given) 1 }}{{ fail "legalBasis.toml, legalBasis.existingConfigMap and legalBasis.example exclude each other: which rules hold?" }}{{ end }}
{{- if empty $given }}{{ fail "Under which law? Give legalBasis.toml or legalBasis.existingConfigMap with rules that the agency's lawyers have confirmed (legalBasis.example is for rehearsals)." }}{{ end }}
{{- end }}
{{- with $values.registry }}
{{- if and .existingConfigMap (or .agency.keys .agency.logs) }}{{ fail "registry.existingConfigMap and registry.agency are both given: which keys are pinned?" }}{{ end }}
{{- if not .existingConfigMap }}
{{- range $purpose := list "authorise" "arrive" "confirm" "freeze" }}
{{- if not (index $values.registry.agency.keys $purpose) }}{{ fail (printf "registry.agency.keys pins no key for %s: exchanges and services would believe nobody." $purpose) }}{{ end }}
{{- end }}
{{- range $service := list "intake" "tracking" "freeze" }}
{{- if not (index $values.registry.agency.logs $service) }}{{ fail (printf "registry.agency.logs pins no key for the log of %s: nobody could follow it." $service) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $values.redis.enabled }}
{{- with $values.redis }}
{{- $sentinels := ternary "sentinels" "" (not (empty (concat .sentinels (compact (list .master))))) }}
{{- $ways := compact (list .existingSecret .url $sentinels (ternary "" "cluster" (empty .cluster))) }}
{{- if gt (len $ways) 1 }}{{ fail "redis.existingSecret, redis.url, redis.sentinels and redis.cluster exclude each other: where is Redis?" }}{{ end }}
{{- if empty $ways }}{{ fail "redis.enabled needs redis.existingSecret, the Secret with its URL (or redis.url, where that holds no password, or redis.sentinels and redis.master, or redis.cluster)." }}{{ end }}
{{- if ne (empty .sentinels) (empty .master) }}{{ fail "redis.sentinels and redis.master belong together: whom to ask, and for which master." }}{{ end }}
{{- if and (empty .sentinels) (empty .cluster) (or .username .passwordSecret) }}{{ fail "redis.username and redis.passwordSecret are for the Redis that redis.sentinels name, or for redis.cluster; a URL holds its own." }}{{ end }}
{{- end }}
{{- end }}
{{- if and (eq $values.postgres.sslMode "disable") (not $values.rehearsal.enabled) }}{{ fail "postgres.sslMode is disable, which is for rehearsals only: names and addresses would travel in the clear. Use verify-full." }}{{ end }}
{{- if and (eq $values.migrations.mode "start") (not $values.rehearsal.enabled) }}{{ fail "migrations.mode is start, which gives every service its tables' owner; that is for rehearsals only. Use hook or job." }}{{ end }}
{{- end }}

{{- define "haetae.validate.exchanges" -}}
{{- $values := .Values }}
{{- $seen := list }}
{{- range $exchange := $values.exchanges }}
{{- $id := $exchange.id }}
{{- if has $id $seen }}{{ fail (printf "The exchange %s is listed twice." $id) }}{{ end }}
{{- $seen = append $seen $id }}
{{- if and (eq $values.certificates.mode "spiffe-csi") (has $id (list "default" "intake" "tracking" "freeze")) }}{{ fail (printf "The exchange %s cannot be served with certificates.mode spiffe-csi, where its service account would have that name." $id) }}{{ end }}
{{- if $values.rehearsal.enabled }}
{{- if or $exchange.endpoints $exchange.egress }}{{ fail (printf "The exchange %s has endpoints or egress of its own, but rehearsal.enabled plays every exchange: a rehearsal must not reach a real one." $id) }}{{ end }}
{{- else }}
{{- if not $exchange.egress }}{{ fail (printf "The exchange %s has no egress: say which addresses and ports its connector may reach." $id) }}{{ end }}
{{- if not $exchange.endpoints }}
{{- if not $values.registry.existingConfigMap }}{{ fail (printf "The exchange %s has no endpoints." $id) }}{{ end }}
{{- else }}
{{- $ports := list }}
{{- range $exchange.egress }}{{ $ports = append $ports (int .port) }}{{ end }}
{{- range $endpoint := $exchange.endpoints }}
{{- $port := int (default "443" (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $endpoint))) }}
{{- if not (has $port $ports) }}{{ fail (printf "The exchange %s listens at %s, but its egress allows port %s only." $id $endpoint (join ", " $ports)) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $values.registry.existingConfigMap }}
{{- range $key := list "ca" "keys" "logVerifier" "chains" }}
{{- if not (index $exchange $key) }}{{ fail (printf "The exchange %s has no %s, which the registry needs (or give registry.existingConfigMap)." $id $key) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "haetae.validate.chains" -}}
{{- $seen := list }}
{{- if not .Values.chains }}{{ fail "chains is empty: tracking needs at least one chain to read." }}{{ end }}
{{- range $chain := .Values.chains }}
{{- if has $chain.id $seen }}{{ fail (printf "The chain %s is listed twice." $chain.id) }}{{ end }}
{{- $seen = append $seen $chain.id }}
{{- if and (hasKey $chain "finalAfter") (hasKey $chain "confirmations") (lt (int $chain.finalAfter) (int $chain.confirmations)) }}{{ fail (printf "The chain %s would be final after %d blocks, before it is confirmed after %d." $chain.id (int $chain.finalAfter) (int $chain.confirmations)) }}{{ end }}
{{- range $node := $chain.nodes }}
{{- if and (or $node.api $node.solidity $node.secretKeys) (not (hasPrefix "tron:" $chain.id)) }}{{ fail (printf "A node of %s has an API of its own, which only Tron's nodes have." $chain.id) }}{{ end }}
{{- end }}
{{- range $node := $chain.nodes }}{{ include "haetae.validate.node" (dict "node" $node "of" $chain.id) }}{{ end }}
{{- end }}
{{- if .Values.rehearsal.enabled }}
{{- $seen := list }}
{{- if not .Values.rehearsal.chains }}{{ fail "rehearsal.chains is empty: rehearsal exchanges need a chain to watch." }}{{ end }}
{{- range $chain := .Values.rehearsal.chains }}
{{- if has $chain.id $seen }}{{ fail (printf "rehearsal.chains lists %s twice." $chain.id) }}{{ end }}
{{- $seen = append $seen $chain.id }}
{{- if or $chain.node.user $chain.node.api $chain.node.solidity $chain.node.secretKeys }}{{ fail (printf "The rehearsal's node of %s has more than URLs, and rehearsal exchanges know of nothing else: put its user and password into the URL." $chain.id) }}{{ end }}
{{- include "haetae.validate.node" (dict "node" $chain.node "of" "the rehearsal") }}
{{- end }}
{{- end }}
{{- end }}

{{- define "haetae.validate.node" -}}
{{- if and .node.existingSecret (or .node.http .node.ws .node.api .node.solidity) }}{{ fail (printf "A node of %s has a Secret and a URL: give one." .of) }}{{ end }}
{{- if and .node.user (not .node.existingSecret) }}{{ fail (printf "A node of %s has a user but no existingSecret, which holds the password." .of) }}{{ end }}
{{- if not (or .node.existingSecret .node.http) }}{{ fail (printf "A node of %s has neither existingSecret nor http." .of) }}{{ end }}
{{- end }}

{{- define "haetae.validate.telemetry" -}}
{{- $values := .Values }}
{{- if and $values.telemetry.otlpEndpoint $values.collector.enabled }}{{ fail "telemetry.otlpEndpoint and collector.enabled are both given: services send to one place. Set collector.tracesEndpoint to send traces on." }}{{ end }}
{{- if and $values.monitoring.prometheusRules.enabled (empty $values.monitoring.prometheusRules.runbookBase) }}{{ fail "monitoring.prometheusRules.enabled needs runbookBase: an alert without its runbook wakes somebody who does not know what to do." }}{{ end }}
{{- range $alert := $values.monitoring.prometheusRules.disabled }}
{{- if not ($.Files.Get (printf "rules/%s.yaml" $alert)) }}{{ fail (printf "monitoring.prometheusRules.disabled names %s, which is no alert of this chart: it would be thought to be off." $alert) }}{{ end }}
{{- end }}
{{- if and $values.monitoring.podMonitor.enabled (not $values.collector.enabled) }}{{ fail "monitoring.podMonitor.enabled needs collector.enabled: services are not scraped, they send." }}{{ end }}
{{- end }}

{{- define "haetae.validate.component" -}}
{{- $settings := .settings }}
{{- $scaling := $settings.autoscaling }}
{{- $fewest := int (ternary $scaling.minReplicas $settings.replicas $scaling.enabled) }}
{{- if gt (len .fullname) 63 }}{{ fail (printf "%s is longer than the 63 characters of a Service's name: choose a shorter release name or fullnameOverride." .fullname) }}{{ end }}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}{{ fail (printf "%s: autoscaling.minReplicas (%d) is more than maxReplicas (%d)." .name (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}{{ end }}
{{- if and $scaling.enabled (not (dig "requests" "cpu" "" $settings.resources)) }}{{ fail (printf "%s: autoscaling by CPU needs resources.requests.cpu." .name) }}{{ end }}
{{- with $settings.podDisruptionBudget }}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) }}
{{- if ge (int .minAvailable) $fewest }}{{ fail (printf "%s: podDisruptionBudget.minAvailable (%d) of %d replicas would keep nodes from ever being drained." $.name (int .minAvailable) $fewest) }}{{ end }}
{{- else if and .enabled (lt (int .maxUnavailable) 1) }}{{ fail (printf "%s: podDisruptionBudget.maxUnavailable is 0: nodes could never be drained." $.name) }}
{{- end }}
{{- end }}
{{- if and (eq .role "sandbox") (ne .maximum 1) }}{{ fail (printf "%s: a rehearsal exchange runs as one replica." .name) }}{{ end }}
{{- end }}

{{/*
Every replica there can be at once, one more of each service while it is rolled out, tracking's two leases for each
chain, and the migrations.
*/}}
{{- define "haetae.connections" -}}
{{- $needed := 0 }}
{{- range .components }}
{{- $each := int .settings.database.maxConnections }}
{{- if eq .role "tracking" }}{{ $each = add $each (mul 2 (len .root.Values.chains)) }}{{ end }}
{{- $needed = add $needed (mul (add .maximum 1) $each) }}
{{- if and .log (ne .root.Values.migrations.mode "start") }}{{ $needed = add $needed 1 }}{{ end }}
{{- end }}
{{- $needed }}
{{- end }}

{{- define "haetae.validate.connections" -}}
{{- $postgres := .root.Values.postgres }}
{{- $needed := int (include "haetae.connections" .) }}
{{- $left := sub (int $postgres.maxConnections) (int $postgres.reservedConnections) }}
{{- if gt $needed (int $left) }}{{ fail (printf "The mesh could hold %d connections to Postgres while it is rolled out, but postgres.maxConnections less postgres.reservedConnections leaves %d. Lower replicas, autoscaling.maxReplicas or database.maxConnections, or raise max_connections in Postgres and here." $needed (int $left)) }}{{ end }}
{{- end }}

{{- define "haetae.validate.policies" -}}
{{- $values := .Values }}
{{- $egress := $values.networkPolicy.egress }}
{{- if not $egress.postgres }}{{ fail "networkPolicy.egress.postgres is empty: no service could reach its database." }}{{ end }}
{{- if and $values.redis.enabled (not $egress.redis) }}{{ fail "networkPolicy.egress.redis is empty, but redis.enabled: no service could reach it." }}{{ end }}
{{- if not $egress.chainNodes }}{{ fail "networkPolicy.egress.chainNodes is empty: tracking could reach no node of a chain." }}{{ end }}
{{- if and (or $values.telemetry.otlpEndpoint (and $values.collector.enabled $values.collector.tracesEndpoint)) (not $egress.otlp) }}{{ fail "networkPolicy.egress.otlp is empty: traces and metrics could not be sent." }}{{ end }}
{{- if and $values.door.enabled (not $values.networkPolicy.ingress.agency) }}{{ fail "door.enabled, but networkPolicy.ingress.agency lets nobody in: say where agency systems call from." }}{{ end }}
{{- end }}
