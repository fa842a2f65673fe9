{{/* What a schema cannot say, or not in a sentence. Included once, by the server's Deployment. */}}
{{- define "gps.checks" -}}
{{- $sources := list .Values.centralSecret.existing .Values.centralSecret.create.enabled .Values.centralSecret.externalSecret.enabled -}}
{{- $chosen := 0 -}}
{{- range $sources }}{{ if . }}{{ $chosen = add1 $chosen }}{{ end }}{{ end -}}
{{- if eq (int $chosen) 0 -}}
{{- fail "centralSecret: choose where the credential comes from, one of centralSecret.existing, centralSecret.create.enabled and centralSecret.externalSecret.enabled; without one, every workload that pulls a selected image would be rejected" -}}
{{- else if gt (int $chosen) 1 -}}
{{- fail "centralSecret: existing, create.enabled and externalSecret.enabled exclude each other; choose one" -}}
{{- end -}}
{{- /* 35 s: the longest review, 30 s, and a moment to close the connections (webhook/server/serve.py). */ -}}
{{- $needed := add .Values.server.shutdownDelaySeconds 35 -}}
{{- if lt (int .Values.server.terminationGracePeriodSeconds) (int $needed) -}}
{{- fail (printf "server.terminationGracePeriodSeconds: %d is less than shutdownDelaySeconds (%d) and the 35 s that a stopping server gives the reviews under way together, so they could be cut off; set at least %d" (int .Values.server.terminationGracePeriodSeconds) (int .Values.server.shutdownDelaySeconds) (int $needed)) -}}
{{- end -}}
{{- /* The sum of webhook/server/limits.py. */ -}}
{{- $memory := toString (((.Values.server.resources).limits).memory | default "") -}}
{{- $least := add 207 .Values.server.threads -}}
{{- if and $memory (lt (include "gps.bytes" $memory | int64) (mul $least 1048576)) -}}
{{- fail (printf "server.resources.limits.memory: %s is too little for %d threads and the reviews they read; set at least %dMi" $memory (int .Values.server.threads) (int $least)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" (include "gps.fullname" .)) -}}
{{- fail (printf "fullnameOverride: the name %q of the Service would begin with no letter, which Kubernetes does not take; set a name that does" (include "gps.fullname" .)) -}}
{{- end -}}
{{- $builtIn := list "/pods" "/replicationcontrollers" "apps/deployments" "apps/statefulsets" "apps/daemonsets" "apps/replicasets" "batch/jobs" "batch/cronjobs" -}}
{{- $seen := list -}}
{{- range $index, $kind := .Values.extraWorkloadKinds -}}
{{- if has (printf "%s/%s" .group .resource) $builtIn -}}
{{- fail (printf "extraWorkloadKinds[%d]: %s are looked after anyway" $index .resource) -}}
{{- end -}}
{{- $name := printf "%s/%s/%s" .group .version .resource -}}
{{- if has $name $seen -}}
{{- fail (printf "extraWorkloadKinds[%d]: %s is listed twice" $index $name) -}}
{{- end -}}
{{- $seen = append $seen $name -}}
{{- if and .podTemplate .podTemplates -}}
{{- fail (printf "extraWorkloadKinds[%d]: podTemplate and podTemplates exclude each other; name all in podTemplates" $index) -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.service.port) 8080 -}}
{{- fail "service.port: 8080 is the port of the Service's metrics; choose another" -}}
{{- end -}}
{{- range $name := list "ports" "hostPorts" -}}
{{- $ports := index $.Values.server $name -}}
{{- if eq (int $ports.webhook) (int $ports.ops) -}}
{{- fail (printf "server.%s: webhook and ops are both %d; two listeners need two ports" $name (int $ports.ops)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret -}}
{{- fail "caBundle: configMap and secret exclude each other; choose one" -}}
{{- end -}}
{{- include "gps.checkEntries" . -}}
{{- include "gps.checkVolumes" . -}}
{{- include "gps.checkAutoscaling" . -}}
{{- include "gps.checkCertificates" . -}}
{{- if and .Values.tests.enabled (has .Values.tests.namespace (include "gps.excludedNamespaces" . | fromJsonArray)) -}}
{{- fail (printf "tests.namespace: %s is never looked at, so that helm test would find nothing injected; choose another, or set tests.enabled to false" .Values.tests.namespace) -}}
{{- end -}}
{{- end -}}

{{/*
Entries of the central secret that no kubelet could use as they are meant. The token itself is never part of what is said, which
is why no pattern of the schema checks it.
*/}}
{{- define "gps.checkEntries" -}}
{{- with .Values.centralSecret -}}
{{- if and .create.enabled .create.entries (or .create.username .create.token) -}}
{{- fail "centralSecret.create: username and token are one entry, entries are several; give one or the other" -}}
{{- end -}}
{{- range $where, $source := dict "create" .create "externalSecret" .externalSecret -}}
{{- if $source.enabled -}}
{{- $seen := list -}}
{{- range $index, $entry := $source.entries -}}
{{- if has $entry.registry $seen -}}
{{- fail (printf "centralSecret.%s.entries[%d].registry: %s is there already; one registry or path has one entry" $where $index $entry.registry) -}}
{{- end -}}
{{- $seen = append $seen $entry.registry -}}
{{- end -}}
{{- include "gps.checkHosts" (list $ $where) -}}
{{- end -}}
{{- end -}}
{{- if .create.enabled -}}
{{- range $entry := include "gps.createdEntries" $ | fromYamlArray -}}
{{- if contains ":" $entry.username -}}
{{- fail (printf "centralSecret.create: the user name for %s has a colon, which ends it where it is sent to the registry" $entry.registry) -}}
{{- end -}}
{{- if regexMatch "[\\s[:cntrl:]]" $entry.token -}}
{{- fail (printf "centralSecret.create: the token for %s has white space or a line break, which no token has" $entry.registry) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A central secret that can serve no image that is looked after. Arguments: list of root and "create" or "externalSecret". */}}
{{- define "gps.checkHosts" -}}
{{- $root := index . 0 -}}
{{- $hosts := list -}}
{{- range include (ternary "gps.createdEntries" "gps.externalEntries" (eq (index . 1) "create")) $root | fromYamlArray -}}
{{- $hosts = append $hosts (index (splitn "/" 2 .registry) "_0") -}}
{{- end -}}
{{- $served := false -}}
{{- range include "gps.include" $root | fromJsonArray -}}
{{- $host := lower (index (splitn "/" 2 .) "_0") | trimSuffix ":443" -}}
{{- range $hosts -}}
{{- if or (contains "*" $host) (contains "*" .) (eq $host (trimSuffix ":443" .)) }}{{ $served = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if not $served -}}
{{- fail (printf "centralSecret.%s: its entries are for %s, and images.include looks after no image from there" (index . 1) (join ", " $hosts)) -}}
{{- end -}}
{{- end -}}

{{/* An autoscaler that could not count. */}}
{{- define "gps.checkAutoscaling" -}}
{{- if .Values.server.autoscaling.enabled -}}
{{- if gt (int .Values.server.autoscaling.minReplicas) (int .Values.server.autoscaling.maxReplicas) -}}
{{- fail "server.autoscaling: minReplicas is above maxReplicas" -}}
{{- end -}}
{{- /* A request that is not given is the limit. */ -}}
{{- $resources := .Values.server.resources | default dict -}}
{{- if not (or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources)) -}}
{{- fail "server.resources.requests.cpu: server.autoscaling counts in percent of it, so that there has to be one" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Mounts of volumes that nobody has given. */}}
{{- define "gps.checkVolumes" -}}
{{- range $component := list "server" "controller" "hooks" -}}
{{- $settings := index $.Values $component -}}
{{- $names := list -}}
{{- range $settings.extraVolumes -}}{{- $names = append $names .name -}}{{- end -}}
{{- range $index, $mount := $settings.extraVolumeMounts -}}
{{- if not (has $mount.name $names) -}}
{{- fail (printf "%s.extraVolumeMounts[%d]: there is no volume %q in %s.extraVolumes" $component $index $mount.name $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration as Go writes it. */}}
{{- define "gps.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 -}}
{{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (index $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* Times that cert-manager refuses (its least duration is 1 h, its least renewBefore 5 min), and an alert that would never end. */}}
{{- define "gps.checkCertificates" -}}
{{- /* What the controller renews at: a third of 90 days. */ -}}
{{- $left := 2592000.0 -}}
{{- with .Values.certManager -}}
{{- if .enabled -}}
{{- $duration := include "gps.seconds" .duration | float64 -}}
{{- $left = include "gps.seconds" .renewBefore | float64 -}}
{{- if lt $duration 3600.0 -}}
{{- fail (printf "certManager.duration: %s is less than 1h, the least that cert-manager takes" .duration) -}}
{{- end -}}
{{- if lt $left 300.0 -}}
{{- fail (printf "certManager.renewBefore: %s is less than 5m, the least that cert-manager takes" .renewBefore) -}}
{{- end -}}
{{- if ge $left $duration -}}
{{- fail (printf "certManager.renewBefore: %s is not less than certManager.duration, %s, so that a new certificate would be due for renewal at once" .renewBefore .duration) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.monitoring.prometheusRule -}}
{{- if and .enabled (ge (float64 .certificateExpirySeconds) $left) -}}
{{- fail (printf "monitoring.prometheusRule.certificateExpirySeconds: a certificate is renewed %d s before its end, so that an alert %d s before it would tell of every one" (int64 $left) (int64 .certificateExpirySeconds)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
