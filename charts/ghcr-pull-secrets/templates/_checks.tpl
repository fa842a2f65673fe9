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
{{- $longest := max .Values.webhooks.mutating.timeoutSeconds .Values.webhooks.validating.timeoutSeconds -}}
{{- $needed := add .Values.server.shutdownDelaySeconds $longest -}}
{{- if le (int .Values.server.terminationGracePeriodSeconds) (int $needed) -}}
{{- fail (printf "server.terminationGracePeriodSeconds: %d is not more than shutdownDelaySeconds and the longest webhook timeout together (%d), so a stopping Pod would lose reviews" (int .Values.server.terminationGracePeriodSeconds) (int $needed)) -}}
{{- end -}}
{{- if and .Values.server.autoscaling.enabled (gt (int .Values.server.autoscaling.minReplicas) (int .Values.server.autoscaling.maxReplicas)) -}}
{{- fail "server.autoscaling: minReplicas is above maxReplicas" -}}
{{- end -}}
{{- end -}}
