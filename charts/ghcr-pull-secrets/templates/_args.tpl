{{/* What is decided, in flags both components take (webhook/config). */}}
{{- define "gps.policyArgs" -}}
- --namespace={{ include "gps.namespace" . }}
{{- if include "gps.hasCaBundle" . }}
- {{ include "gps.caBundleArg" . }}
{{- end }}
{{- range include "gps.include" . | fromJsonArray }}
- --images-include={{ . }}
{{- end }}
{{- range .Values.images.exclude }}
- --images-exclude={{ . }}
{{- end }}
- --namespaces-mode={{ .Values.namespaces.mode }}
{{- range .Values.namespaces.excluded }}
- --namespaces-excluded={{ . }}
{{- end }}
- --log-level={{ .Values.logLevel }}
{{- end -}}

{{/* A port of the server; on its node's network it takes those of `hostPorts`. Arguments: list of root and "webhook" or "ops". */}}
{{- define "gps.serverPort" -}}
{{- $server := (index . 0).Values.server -}}
{{- index (ternary $server.hostPorts $server.ports $server.hostNetwork) (index . 1) -}}
{{- end -}}

{{/* Bytes of a quantity of memory, in any form that Kubernetes takes. */}}
{{- define "gps.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit | default 1.0) | int64 -}}
{{- end -}}

{{- define "gps.serverArgs" -}}
- serve
- --bind={{ .Values.bindAddress }}:{{ include "gps.serverPort" (list . "webhook") }}
- --ops-bind={{ .Values.bindAddress }}:{{ include "gps.serverPort" (list . "ops") }}
{{- if .Values.certManager.enabled }}
- --tls-dir=/tls
{{- else }}
- --tls-secret={{ include "gps.tlsSecretName" . }}
{{- end }}
- --threads={{ .Values.server.threads }}
{{- with ((.Values.server.resources).limits).memory }}
- --memory-limit={{ ternary . (include "gps.bytes" .) (regexMatch "^[1-9][0-9]*[KMG]i$" (toString .)) }}
{{- end }}
{{- if .Values.server.clientCA }}
- --client-ca=/client-ca/ca.crt
{{- end }}
- --shutdown-delay={{ .Values.server.shutdownDelaySeconds }}s
{{ include "gps.policyArgs" . }}
- --enforcement={{ .Values.enforcement }}
- --unverifiable={{ .Values.unverifiable }}
- --templates={{ .Values.templates }}
{{- if .Values.rbac.readAllSecrets }}
- --read-all-secrets
{{- end }}
{{- if eq (include "gps.inApiServer" .) "label" }}
- --label-covered
{{- end }}
{{- range $kind := .Values.extraWorkloadKinds }}
{{- range include "gps.podTemplates" . | fromJsonArray }}
- --workload-kind={{ $kind.group }}/{{ $kind.version }}/{{ $kind.resource }}={{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "gps.controllerArgs" -}}
- controller
- --ops-bind={{ .Values.bindAddress }}:{{ .Values.controller.ports.ops }}
- --name={{ include "gps.fullname" . }}
- --last-configuration={{ include "gps.lastName" . }}
- --workers={{ .Values.controller.workers }}
- --qps={{ .Values.controller.qps }}
- --sweep-interval={{ .Values.controller.sweepIntervalSeconds | int64 }}s
- {{ ternary "--no-manage-certificates" "--manage-certificates" .Values.certManager.enabled }}
- {{ ternary "--credential-check" "--no-credential-check" .Values.credentialCheck.enabled }}
{{- if .Values.credentialCheck.enabled }}
- --credential-check-interval={{ .Values.credentialCheck.intervalSeconds | int64 }}s
- --credential-api-url={{ .Values.credentialCheck.apiUrl }}
{{- end }}
{{ include "gps.policyArgs" . }}
{{- end -}}
