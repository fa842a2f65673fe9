{{/* Name of the chart, for labels. */}}
{{- define "gps.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Prefix of every object's name. 48 characters leave room for the longest suffix, `-webhook-tls`, in a Service's 63; and a
Service's name has no dots, which a release's may have.
*/}}
{{- define "gps.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "gps.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | lower | replace "." "-" | replace "_" "-" | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The namespace of every namespaced object, and so of the central secret. */}}
{{- define "gps.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* Names that cannot be chosen: users, docs and the code depend on them (webhook/core/names.py). */}}
{{- define "gps.secretName" -}}ghcr-secret{{- end -}}
{{- define "gps.caSecretName" -}}{{ include "gps.fullname" . }}-webhook-ca{{- end -}}
{{- define "gps.tlsSecretName" -}}{{ include "gps.fullname" . }}-webhook-tls{{- end -}}
{{/* Name of the mutating configuration that is called last; the other two have the full name. */}}
{{- define "gps.lastName" -}}
{{- $last := printf "%s%s" .Values.webhooks.mutating.lastPrefix (include "gps.fullname" .) -}}
{{- if not (gt $last (include "gps.fullname" .)) -}}
{{- fail (printf "webhooks.mutating.lastPrefix: %q makes the name %s, which sorts before %s; the configuration that is to be called last needs a name that sorts last" .Values.webhooks.mutating.lastPrefix $last (include "gps.fullname" .)) -}}
{{- end -}}
{{- $last -}}
{{- end -}}

{{- define "gps.leaseName" -}}{{ include "gps.fullname" . }}-controller{{- end -}}

{{/* ServiceAccount of a component. Arguments: list of root context and "server" or "controller". */}}
{{- define "gps.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $account := (index $root.Values $component).serviceAccount -}}
{{- $account.name | default (ternary (printf "%s-%s" (include "gps.fullname" $root) $component) "default" $account.create) -}}
{{- end -}}

{{/* Labels that select a component's Pods; they can never change. Arguments as above. */}}
{{- define "gps.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "gps.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/*
Labels of every object, ours before the user's: a common label must not take an object out of a selector. Arguments: list of
root, component ("" for what belongs to none), further labels (dict, may be left out).
*/}}
{{- define "gps.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "gps.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "ghcr-pull-secrets" -}}
{{- with index . 1 }}{{ $labels = set $labels "app.kubernetes.io/component" . }}{{ end -}}
{{- if gt (len .) 2 }}{{ $labels = merge $labels (index . 2 | default dict) }}{{ end -}}
{{- merge $labels $root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
metadata of an object. Arguments: dict of root, component, name; optional annotations (dict, over the common ones),
labels (dict), clusterScoped (bool).
*/}}
{{- define "gps.metadata" -}}
name: {{ .name | quote }}
{{- if not .clusterScoped }}
namespace: {{ include "gps.namespace" .root | quote }}
{{- end }}
labels:
  {{- include "gps.labels" (list .root (.component | default "") .labels) | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
