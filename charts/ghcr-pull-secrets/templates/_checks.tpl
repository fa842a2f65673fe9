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
{{- /* 35 s: the longest review, 30 s, and a moment to close the connections (webhook/server/process.py). */ -}}
{{- $needed := add .Values.server.shutdownDelaySeconds 35 -}}
{{- if lt (int .Values.server.terminationGracePeriodSeconds) (int $needed) -}}
{{- fail (printf "server.terminationGracePeriodSeconds: %d is less than shutdownDelaySeconds (%d) and the 35 s that a stopping server gives the reviews under way together, so they could be cut off; set at least %d" (int .Values.server.terminationGracePeriodSeconds) (int .Values.server.shutdownDelaySeconds) (int $needed)) -}}
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
{{- end -}}
{{- if eq (int .Values.service.port) 8080 -}}
{{- fail "service.port: 8080 is the port of the Service's metrics; choose another" -}}
{{- end -}}
{{- if eq (int .Values.server.ports.webhook) (int .Values.server.ports.ops) -}}
{{- fail (printf "server.ports: webhook and ops are both %d; two listeners need two ports" (int .Values.server.ports.ops)) -}}
{{- end -}}
{{- if and .Values.server.autoscaling.enabled (gt (int .Values.server.autoscaling.minReplicas) (int .Values.server.autoscaling.maxReplicas)) -}}
{{- fail "server.autoscaling: minReplicas is above maxReplicas" -}}
{{- end -}}
{{- end -}}
