{{/* User name of a component's ServiceAccount. Arguments: list of root context and "server" or "controller". */}}
{{- define "gps.userName" -}}
system:serviceaccount:{{ include "gps.namespace" (index . 0) }}:{{ include "gps.serviceAccountName" . }}
{{- end -}}

{{/*
CEL: a field is as it was, or is missing as it was. An expression that errs denies, so nothing is taken to be there.
Arguments: list of the new object, the old one and the field's path.
*/}}
{{- define "gps.celUnchanged" -}}
{{- $new := printf "%s.%s" (index . 0) (index . 2) -}}
{{- $old := printf "%s.%s" (index . 1) (index . 2) -}}
has({{ $new }}) == has({{ $old }}) && (!has({{ $new }}) || {{ $new }} == {{ $old }})
{{- end -}}

{{/*
A policy that denies, and its binding. Arguments: dict of root, name, rule (dict of apiGroups, operations, resources), users
(list) and validations (YAML).
*/}}
{{- define "gps.admissionPolicy" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- include "gps.metadata" (dict "root" .root "name" .name "clusterScoped" true) | nindent 2 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    matchPolicy: Equivalent
    namespaceSelector: {}
    objectSelector: {}
    resourceRules:
      - {{ merge .rule (dict "apiVersions" (list "v1") "scope" "*") | toJson }}
  matchConditions:
    # What errs here would deny everybody's requests.
    - name: by-us
      expression: has(request.userInfo.username) && request.userInfo.username in {{ .users | uniq | toJson }}
  validations:
    {{- .validations | nindent 4 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "gps.metadata" (dict "root" .root "name" .name "clusterScoped" true) | nindent 2 }}
spec:
  policyName: {{ .name | quote }}
  validationActions: [Deny]
{{- end -}}

{{/*
CEL: a Secret is a copy that this release keeps, or one that it was asked to adopt; `owner_of` and `adoptable` in
webhook/core/ownership.py, as far as metadata tell. Arguments: list of root and the Secret.
*/}}
{{- define "gps.celOurCopy" -}}
{{- $root := index . 0 -}}
{{- $metadata := printf "%s.metadata" (index . 1) -}}
{{- $labels := printf "%s.labels" $metadata -}}
{{- $annotations := printf "%s.annotations" $metadata -}}
{{- $source := printf "%s/%s" (include "gps.namespace" $root) (include "gps.secretName" $root) | toJson -}}
has({{ $metadata }}.name) && {{ $metadata }}.name == {{ include "gps.secretName" $root | toJson }} &&
(!has({{ $metadata }}.ownerReferences) || {{ $metadata }}.ownerReferences.size() == 0) &&
(
  has({{ $annotations }}) && "ghcr-pull-secrets.io/adopt" in {{ $annotations }} &&
  {{ $annotations }}["ghcr-pull-secrets.io/adopt"] in ["true", {{ $source }}] ||
  has({{ $labels }}) && "app.kubernetes.io/managed-by" in {{ $labels }} &&
  {{ $labels }}["app.kubernetes.io/managed-by"] == "ghcr-pull-secrets" &&
  (!has({{ $annotations }}) || (
    (!("ghcr-pull-secrets.io/source" in {{ $annotations }}) || {{ $annotations }}["ghcr-pull-secrets.io/source"] == {{ $source }}) &&
    !("kubectl.kubernetes.io/last-applied-configuration" in {{ $annotations }})
  ))
)
{{- end -}}

{{/*
Which Secrets server and controller may create, change and delete (a PATCH is an UPDATE here, or a CREATE). What cleanup deletes
may be left in namespaces that are out by now. A Secret's type cannot be changed.
*/}}
{{- define "gps.secretValidations" -}}
{{- $namespace := include "gps.namespace" . | toJson -}}
{{- $fullname := include "gps.fullname" . -}}
{{- $own := list (include "gps.caSecretName" .) (include "gps.tlsSecretName" .) | toJson -}}
{{- $controller := include "gps.userName" (list . "controller") | toJson -}}
- expression: |-
    request.operation != "CREATE" || request.namespace == {{ $namespace }} || (
      !(request.namespace in {{ include "gps.excludedNamespaces" . }}) &&
      has(object.metadata.name) && object.metadata.name == {{ include "gps.secretName" . | toJson }} &&
      has(object.type) && object.type == "kubernetes.io/dockerconfigjson"
    )
  message: {{ printf "%s creates Secrets named %s of the type kubernetes.io/dockerconfigjson only, and none in namespaces that are out" $fullname (include "gps.secretName" .) }}
- expression: |-
    request.operation == "CREATE" || request.namespace == {{ $namespace }} || (
      (request.operation == "DELETE" || !(request.namespace in {{ include "gps.excludedNamespaces" . }})) &&
      {{- include "gps.celOurCopy" (list . "oldObject") | nindent 6 }}
    )
  message: {{ printf "%s changes and deletes only its own copies named %s, and changes none in namespaces that are out" $fullname (include "gps.secretName" .) }}
- expression: |-
    request.operation != "UPDATE" || request.namespace == {{ $namespace }} || (
      {{- include "gps.celOurCopy" (list . "object") | nindent 6 }}
    )
  message: {{ printf "%s gives none of its copies away" $fullname }}
{{- if .Values.certManager.enabled }}
- expression: request.namespace != {{ $namespace }}
  message: {{ $fullname }} writes no Secret in its own namespace
{{- else }}
- expression: |-
    request.namespace != {{ $namespace }} || request.operation != "CREATE" || (
      request.userInfo.username == {{ $controller }} &&
      has(object.metadata.name) && object.metadata.name in {{ $own }} &&
      has(object.type) && object.type == "kubernetes.io/tls"
    )
  message: in its own namespace, {{ $fullname }} creates the Secrets of its certificates only
- expression: |-
    request.namespace != {{ $namespace }} || request.operation == "CREATE" || (
      request.userInfo.username == {{ $controller }} &&
      has(oldObject.metadata.name) && oldObject.metadata.name in {{ $own }}
    )
  message: in its own namespace, {{ $fullname }} changes and deletes the Secrets of its certificates only
{{- end }}
{{- end -}}

{{/* What the controller may change in webhook configurations: `caBundle`, and nothing else. */}}
{{- define "gps.registrationValidations" -}}
- expression: |-
    {{- range list "labels" "annotations" "finalizers" "ownerReferences" }}
    {{ include "gps.celUnchanged" (list "object.metadata" "oldObject.metadata" .) }} &&
    {{- end }}
    has(object.webhooks) == has(oldObject.webhooks) &&
    (!has(object.webhooks) || (
      object.webhooks.size() == oldObject.webhooks.size() &&
      object.webhooks.all(w, oldObject.webhooks.exists(o, o.name == w.name
        {{- range list "clientConfig.url" "clientConfig.service" "rules" "namespaceSelector" "objectSelector" "matchConditions" "matchPolicy" "failurePolicy" "timeoutSeconds" "sideEffects" "admissionReviewVersions" }} &&
        {{ include "gps.celUnchanged" (list "w" "o" .) }}
        {{- end }} &&
        {{- /* Validating webhooks have no such field, which an API server that checks types would warn of. */}}
        {{ include "gps.celUnchanged" (list "dyn(w)" "dyn(o)" "reinvocationPolicy") }}))
    ))
  message: {{ include "gps.fullname" . }} changes nothing of webhook configurations but caBundle
{{- end -}}
