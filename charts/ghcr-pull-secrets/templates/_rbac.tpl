{{/* Rules on the copies in every namespace: by name wherever the verb allows; `create` cannot be limited by name. */}}
{{- define "gps.copyRules" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "gps.secretName" . | quote }}]
  # list and watch of all namespaces are covered too, for requests with fieldSelector metadata.name. `delete` is for a
  # copy whose type is wrong: a type cannot be changed.
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end -}}

{{/*
Binding of a component's role to its ServiceAccount. Arguments: dict of root, component, kind ("Role" or "ClusterRole").
*/}}
{{- define "gps.binding" -}}
{{- $name := printf "%s-%s" (include "gps.fullname" .root) .component -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  {{- include "gps.metadata" (dict "root" .root "component" .component "name" $name "clusterScoped" (eq .kind "ClusterRole")) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ $name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "gps.serviceAccountName" (list .root .component) | quote }}
    namespace: {{ include "gps.namespace" .root | quote }}
{{- end -}}

{{/* ServiceAccount of a component. Arguments: dict of root, component. */}}
{{- define "gps.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "gps.metadata" (dict "root" .root "component" .component "name" (include "gps.serviceAccountName" (list .root .component)) "annotations" $account.annotations) | nindent 2 }}
# Our Pods ask for the token themselves; anything else that runs as this account gets none unasked.
automountServiceAccountToken: false
{{- end -}}
{{- end -}}
