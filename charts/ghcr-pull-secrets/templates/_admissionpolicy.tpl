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
Which Secrets server and controller may create. On CREATE only: what they may write later is theirs by name already, and a
Secret's type cannot be changed.
*/}}
{{- define "gps.secretValidations" -}}
{{- $namespace := include "gps.namespace" . | toJson -}}
- expression: |-
    request.namespace == {{ $namespace }} || (
      !(request.namespace in {{ include "gps.excludedNamespaces" . }}) &&
      has(object.metadata.name) && object.metadata.name == {{ include "gps.secretName" . | toJson }} &&
      has(object.type) && object.type == "kubernetes.io/dockerconfigjson"
    )
  message: {{ printf "%s creates Secrets named %s of the type kubernetes.io/dockerconfigjson only, and none in namespaces that are out" (include "gps.fullname" .) (include "gps.secretName" .) }}
{{- if .Values.certManager.enabled }}
- expression: request.namespace != {{ $namespace }}
  message: {{ include "gps.fullname" . }} creates no Secret in its own namespace
{{- else }}
- expression: |-
    request.namespace != {{ $namespace }} || (
      request.userInfo.username == {{ include "gps.userName" (list . "controller") | toJson }} &&
      has(object.metadata.name) && object.metadata.name in {{ list (include "gps.caSecretName" .) (include "gps.tlsSecretName" .) | toJson }} &&
      has(object.type) && object.type == "kubernetes.io/tls"
    )
  message: in its own namespace, {{ include "gps.fullname" . }} creates the Secrets of its certificates only
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
