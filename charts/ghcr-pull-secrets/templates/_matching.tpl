{{/*
CEL: a field is there and of that kind. An expression that errs rejects the object in the webhook's name, so nothing is taken
for granted: a Go object without containers has `containers: null` before it is validated, and custom resources may hold
anything. Arguments: list of expression and `list`, `map` or `string`.
*/}}
{{- define "gps.celIs" -}}
has({{ index . 0 }}) && type({{ index . 0 }}) == {{ index . 1 }}
{{- end -}}

{{/* CEL: the list at an expression, empty if there is none. */}}
{{- define "gps.celListOf" -}}
({{ include "gps.celIs" (list . "list") }} ? {{ . }} : [])
{{- end -}}

{{/* CEL: there are maps all along a path. Arguments: list of expression and JSON pointer, "" for the expression itself. */}}
{{- define "gps.celReaches" -}}
{{- $at := index . 0 -}}
{{- $parts := ternary (list "true") (list) (eq (index . 1) "") -}}
{{- range splitList "/" (index . 1 | trimPrefix "/") | compact -}}
{{- $at = printf "%s.%s" $at . -}}
{{- $parts = append $parts (include "gps.celIs" (list $at "map")) -}}
{{- end -}}
{{- join " && " $parts -}}
{{- end -}}

{{/*
CEL: the object names a selected image. Arguments: dict of root and template (JSON pointer of what has the pod spec as its
`spec`, "" for a Pod).
*/}}
{{- define "gps.celHasSelectedImage" -}}
{{- $root := .root -}}
{{- $path := printf "%s/spec" .template -}}
{{ include "gps.celReaches" (list "object" $path) }} &&
{{ include "gps.celSelectsIn" (list $root (printf "object%s" ($path | replace "/" "."))) }}
{{- end -}}

{{/* CEL: a pod spec, which is a map, names a selected image. Arguments: list of root and the pod spec. */}}
{{- define "gps.celSelectsIn" -}}
{{- $root := index . 0 -}}
{{- $spec := index . 1 -}}
(
{{- range $index, $name := list "containers" "initContainers" "ephemeralContainers" }}
  {{ if $index }}|| {{ end }}{{ include "gps.celListOf" (printf "%s.%s" $spec $name) }}.exists(c,
    type(c) == map && {{ include "gps.celIs" (list "c.image" "string") }} &&
    {{ include "gps.imageSelected" (list $root "c.image") }})
{{- end }}
  || {{ include "gps.celListOf" (printf "%s.volumes" $spec) }}.exists(v,
    type(v) == map && {{ include "gps.celIs" (list "v.image" "map") }} && {{ include "gps.celIs" (list "v.image.reference" "string") }} &&
    {{ include "gps.imageSelected" (list $root "v.image.reference") }})
)
{{- end -}}

{{/*
CEL: a Pod takes the content of `ghcr-secret` as a volume or variable, as `mounts` in webhook/core/policy.py says. Argument: root.
*/}}
{{- define "gps.celMounts" -}}
{{- $name := include "gps.secretName" . | toJson -}}
{{ include "gps.celIs" (list "object.spec" "map") }} &&
(
  {{ include "gps.celListOf" "object.spec.volumes" }}.exists(v, type(v) == map && (
    {{ include "gps.celReaches" (list "v" "/secret") }} && {{ include "gps.celIs" (list "v.secret.secretName" "string") }} && v.secret.secretName == {{ $name }} ||
    {{ include "gps.celReaches" (list "v" "/projected") }} && {{ include "gps.celListOf" "v.projected.sources" }}.exists(s,
      type(s) == map && {{ include "gps.celReaches" (list "s" "/secret") }} && {{ include "gps.celIs" (list "s.secret.name" "string") }} && s.secret.name == {{ $name }})))
{{- range list "containers" "initContainers" "ephemeralContainers" }}
  || {{ include "gps.celListOf" (printf "object.spec.%s" .) }}.exists(c, type(c) == map && (
    {{ include "gps.celListOf" "c.envFrom" }}.exists(e,
      type(e) == map && {{ include "gps.celReaches" (list "e" "/secretRef") }} && {{ include "gps.celIs" (list "e.secretRef.name" "string") }} && e.secretRef.name == {{ $name }}) ||
    {{ include "gps.celListOf" "c.env" }}.exists(e,
      type(e) == map && {{ include "gps.celReaches" (list "e" "/valueFrom/secretKeyRef") }} && {{ include "gps.celIs" (list "e.valueFrom.secretKeyRef.name" "string") }} &&
      e.valueFrom.secretKeyRef.name == {{ $name }})))
{{- end }}
)
{{- end -}}

{{/*
CEL: an UPDATE changes what has the pod spec; both halves admit what does not (`decide` and `exempt` in
webhook/core/policy.py). Not even asking about it is what keeps scaling, labels and status bookkeeping alive while no server is
there to answer. Argument: JSON pointer of the pod template, empty for a Pod.
*/}}
{{- define "gps.celChanged" -}}
{{- $path := . | default "/spec" -}}
{{- $at := $path | replace "/" "." -}}
request.operation != "UPDATE" ||
!({{ include "gps.celReaches" (list "oldObject" $path) }}) ||
!({{ include "gps.celReaches" (list "object" $path) }}) ||
object{{ $at }} != oldObject{{ $at }}
{{- end -}}

{{/*
CEL: a pod template that is new or changed names a selected image (and, for the configuration that is called last, does not list
`ghcr-secret`), for kinds whose objects may have several templates: those of a list or map are looked up among the ones that were
there, wherever they stood (`Before` in webhook/core/before.py). More than 128 (`MAX_TEMPLATES` in webhook/core/workloads.py) are not,
for what CEL may cost. Arguments: dict of root, templates (list of JSON pointers) and last (bool).
*/}}
{{- define "gps.celChangedTemplateSelects" -}}
{{- $given := . -}}
{{- range $index, $pointer := .templates }}
{{- if $index }} ||
{{ end -}}
(
{{- if or (contains "[]" $pointer) (contains "/*" $pointer) }}
  {{- $new := dict "from" "object" "pointer" $pointer "entry" "t" "end" "/spec" }}
  {{- $template := include "gps.celEntry" $new }}
  ({{ include "gps.celCollectionChanged" $pointer }}) &&
  [{{ include "gps.celTemplatesBefore" $pointer }}].exists(before,
    {{ include "gps.celReaches" (list "object" (include "gps.holder" $pointer)) }} &&
    {{ include "gps.celEntries" $new }}.exists(t,
      {{ include "gps.celEntryReaches" $new }} &&
      {{- include "gps.celSelectsIn" (list $given.root (printf "%s.spec" $template)) | nindent 6 }} &&
      {{- if $given.last }}
      !{{ include "gps.celLists" (printf "%s.spec" $template) }} &&
      {{- end }}
      !({{ $template }} in before)))
{{- else }}
  ({{ include "gps.celChanged" $pointer | nindent 2 | trim }}) &&
  {{- if $given.last }}
  ({{ include "gps.celNotListed" $pointer | nindent 2 | trim }}) &&
  {{- end }}
  {{- include "gps.celHasSelectedImage" (dict "root" $given.root "template" $pointer) | nindent 2 }}
{{- end }}
)
{{- end }}
{{- end -}}

{{/* Of a JSON pointer with `[]` or `*`: what comes before it. */}}
{{- define "gps.collection" -}}
{{- regexReplaceAll "(\\[\\]|/\\*).*$" . "" -}}
{{- end -}}

{{/* The holder of that, "" for the object. */}}
{{- define "gps.holder" -}}
{{- regexReplaceAll "/[^/]*$" (include "gps.collection" .) "" -}}
{{- end -}}

{{/* CEL: the list, or the map for its keys, that a pointer with `[]` or `*` goes through. Arguments: dict of from and pointer. */}}
{{- define "gps.celEntries" -}}
{{- $at := printf "%s%s" .from (include "gps.collection" .pointer | replace "/" ".") -}}
{{- if contains "[]" .pointer -}}
{{ include "gps.celListOf" $at }}
{{- else -}}
({{ include "gps.celIs" (list $at "map") }} ? {{ $at }} : {})
{{- end -}}
{{- end -}}

{{/* CEL: one entry of it. Arguments: dict of from, pointer and entry (the variable). */}}
{{- define "gps.celOneEntry" -}}
{{- if contains "[]" .pointer -}}
{{ .entry }}
{{- else -}}
{{ .from }}{{ include "gps.collection" .pointer | replace "/" "." }}[{{ .entry }}]
{{- end -}}
{{- end -}}

{{/* CEL: the template in an entry. Arguments: the same. */}}
{{- define "gps.celEntry" -}}
{{ include "gps.celOneEntry" . }}{{ regexReplaceAll "^.*(\\[\\]|/\\*)" .pointer "" | replace "/" "." }}
{{- end -}}

{{/* CEL: there are maps all along from an entry to the end of its template. Arguments: the same, and end (JSON pointer, or ""). */}}
{{- define "gps.celEntryReaches" -}}
{{- $one := include "gps.celOneEntry" . -}}
type({{ $one }}) == map && {{ include "gps.celReaches" (list $one (printf "%s%s" (regexReplaceAll "^.*(\\[\\]|/\\*)" .pointer "") .end)) }}
{{- end -}}

{{/*
CEL: an UPDATE changes anything of the list or map that a pointer goes through. Mostly none does; and what has more templates than are
looked up must still be labelled and freed of its finalizers.
*/}}
{{- define "gps.celCollectionChanged" -}}
{{- $holder := include "gps.holder" . -}}
request.operation != "UPDATE" || !({{ include "gps.celReaches" (list "oldObject" $holder) }}) || !({{ include "gps.celReaches" (list "object" $holder) }}) ||
  {{ include "gps.celEntries" (dict "from" "object" "pointer" .) }} != {{ include "gps.celEntries" (dict "from" "oldObject" "pointer" .) }}
{{- end -}}

{{/* CEL: the templates that a pointer with `[]` or `*` led to before an UPDATE, as a list. */}}
{{- define "gps.celTemplatesBefore" -}}
{{- $old := dict "from" "oldObject" "pointer" . "entry" "o" "end" "" -}}
{{- $entries := include "gps.celEntries" $old -}}
request.operation == "UPDATE" && {{ include "gps.celReaches" (list "oldObject" (include "gps.holder" .)) }} && {{ $entries }}.size() <= 128 ?
    {{ $entries }}.filter(o, {{ include "gps.celEntryReaches" $old }}).map(o, {{ include "gps.celEntry" $old }}) : []
{{- end -}}

{{/* CEL: nobody's controller made the object; both halves leave it to its Pods otherwise, and so need not be asked. */}}
{{- define "gps.celNotControlled" -}}
!({{ include "gps.celReaches" (list "object" "/metadata") }}) ||
!{{ include "gps.celListOf" "object.metadata.ownerReferences" }}.exists(o,
  type(o) == map && {{ include "gps.celIs" (list "o.controller" "bool") }} && o.controller)
{{- end -}}

{{/* Namespaces that are always out, as a JSON list: the system's, ours, and those the user named. */}}
{{- define "gps.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-public" "kube-node-lease" (include "gps.namespace" .)) .Values.namespaces.excluded | uniq | toJson -}}
{{- end -}}

{{/* namespaceSelector term for all others. */}}
{{- define "gps.notExcluded" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
    {{- include "gps.excludedNamespaces" . | fromJsonArray | toYaml | nindent 4 }}
{{- end -}}

{{/*
Namespaces the validating half looks at, as a list of {prefix, terms}: those in which `Rules.enforcement_in`
(webhook/core/scope.py) is deny or warn. A namespaceSelector has no "or", so opt-in takes two entries: namespaces that are
in, and namespaces that are not but ask for enforcement by their label.
*/}}
{{- define "gps.validatingScopes" -}}
{{- if eq .Values.enforcement "off" }}
- prefix: ""
  terms: [{key: ghcr-pull-secrets.io/enforce, operator: In, values: [deny, warn]}]
{{- else if eq .Values.namespaces.mode "opt-in" }}
- prefix: ""
  terms:
    - {key: ghcr-pull-secrets.io/inject, operator: In, values: ["true"]}
    - {key: ghcr-pull-secrets.io/enforce, operator: NotIn, values: ["off"]}
- prefix: enforced.
  terms:
    - {key: ghcr-pull-secrets.io/inject, operator: NotIn, values: ["true"]}
    - {key: ghcr-pull-secrets.io/enforce, operator: In, values: [deny, warn]}
{{- else }}
- prefix: ""
  terms: [{key: ghcr-pull-secrets.io/enforce, operator: NotIn, values: ["off"]}]
{{- end }}
{{- end -}}

{{/* Namespaces the mutating half looks at (`Rules.injects_into`), in the same form. */}}
{{- define "gps.mutatingScopes" -}}
{{- if eq .Values.namespaces.mode "opt-in" }}
- prefix: ""
  terms: [{key: ghcr-pull-secrets.io/inject, operator: In, values: ["true"]}]
{{- else }}
- prefix: ""
  terms: [{key: ghcr-pull-secrets.io/inject, operator: NotIn, values: ["false"]}]
{{- end }}
{{- end -}}

{{/*
Workloads by the place of their pod spec, as a list of {name, template or templates, rules}: one webhook each, so that each has one
short expression. A Pod's pull secrets and a Job's template cannot be changed once they are there, so the mutating half
sees them on CREATE only; and a Pod's label `covered` says nothing of what it is changed into. Arguments: dict of root and mutating (bool).
*/}}
{{- define "gps.shapes" -}}
{{- $createOnly := ternary (list "CREATE") (list "CREATE" "UPDATE") .mutating | toJson }}
- name: pods
  template: ""
  rules:
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: Namespaced}
{{- if not .mutating }}
- name: changed-pods
  template: ""
  rules:
    - {operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods, pods/ephemeralcontainers], scope: Namespaced}
{{- end }}
- name: templates
  template: /spec/template
  rules:
    - {operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments, statefulsets, daemonsets, replicasets], scope: Namespaced}
    - {operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [replicationcontrollers], scope: Namespaced}
    - {operations: {{ $createOnly }}, apiGroups: [batch], apiVersions: [v1], resources: [jobs], scope: Namespaced}
- name: cronjobs
  template: /spec/jobTemplate/spec/template
  rules:
    - {operations: [CREATE, UPDATE], apiGroups: [batch], apiVersions: [v1], resources: [cronjobs], scope: Namespaced}
{{- range .root.Values.extraWorkloadKinds }}
- name: {{ list .resource .version .group | compact | join "." | quote }}
  {{- $templates := include "gps.podTemplates" . | fromJsonArray }}
  {{- if or (gt (len $templates) 1) (contains "[]" (first $templates)) (contains "/*" (first $templates)) }}
  templates: {{ toJson $templates }}
  {{- else }}
  template: {{ first $templates | quote }}
  {{- end }}
  rules:
    - {operations: [CREATE, UPDATE], apiGroups: [{{ .group | quote }}], apiVersions: [{{ .version | quote }}], resources: [{{ .resource | quote }}], scope: Namespaced}
{{- end }}
{{- end -}}

{{/*
CEL: the pod spec does not list `ghcr-secret`. For what does, the configuration that is called last has nothing to do: so that
it costs no call where the first one did its part. Argument: JSON pointer of the pod template, empty for a Pod.
*/}}
{{- define "gps.celNotListed" -}}
{{- $path := printf "%s/spec" . -}}
!({{ include "gps.celReaches" (list "object" $path) }}) ||
!{{ include "gps.celLists" (printf "object%s" ($path | replace "/" ".")) }}
{{- end -}}

{{/* CEL: a pod spec, which is a map, lists `ghcr-secret`. */}}
{{- define "gps.celLists" -}}
{{ include "gps.celListOf" (printf "%s.imagePullSecrets" .) }}.exists(s,
  type(s) == map && {{ include "gps.celIs" (list "s.name" "string") }} && s.name == "ghcr-secret")
{{- end -}}

{{/* JSON pointers of the pod templates of an entry of `extraWorkloadKinds`, as a JSON list. */}}
{{- define "gps.podTemplates" -}}
{{- .podTemplates | default (list .podTemplate) | toJson -}}
{{- end -}}

{{/*
The webhooks of one half. Arguments: dict of root, mutating (bool) and last (bool, may be left out): those of the mutating
configuration that is called last. Those fail open: what they cannot be asked about, the validating half judges, and a new
configuration, which has no caBundle yet, holds nothing up.
*/}}
{{- define "gps.webhooks" -}}
{{- $root := .root -}}
{{- $mutating := .mutating -}}
{{- $settings := ternary $root.Values.webhooks.mutating $root.Values.webhooks.validating $mutating -}}
{{- $scopes := include (ternary "gps.mutatingScopes" "gps.validatingScopes" $mutating) $root | fromYamlArray -}}
{{- $shapes := include "gps.shapes" . | fromYamlArray -}}
{{- $last := .last | default false -}}
{{- /* The policy is called again after another injector; the server, which has set the label, is not, so the last look stays. */ -}}
{{- $covered := eq (include "gps.inApiServer" $root) "policies" -}}
{{- $labels := eq (include "gps.inApiServer" $root) "label" -}}
{{- range $scope := $scopes }}
{{- range $shape := $shapes }}
- name: "{{ $shape.name }}.{{ ternary "last." "" $last }}{{ $scope.prefix }}ghcr-pull-secrets.io"
  admissionReviewVersions: [v1]
  {{- /* No caBundle: the certificates' keeper writes it, and a template that set it would take it away again. */}}
  clientConfig:
    service:
      namespace: {{ include "gps.namespace" $root | quote }}
      name: {{ include "gps.fullname" $root | quote }}
      path: {{ ternary "/mutate" "/validate" $mutating }}
      port: {{ $root.Values.service.port }}
  failurePolicy: {{ ternary "Ignore" $settings.failurePolicy $last }}
  timeoutSeconds: {{ $settings.timeoutSeconds }}
  sideEffects: NoneOnDryRun
  matchPolicy: Equivalent
  {{- if $mutating }}
  reinvocationPolicy: IfNeeded
  {{- end }}
  rules:
    {{- toYaml $shape.rules | nindent 4 }}
  namespaceSelector:
    matchExpressions:
      {{- include "gps.notExcluded" $root | nindent 6 }}
      {{- toYaml $scope.terms | nindent 6 }}
  objectSelector:
    {{- if and (eq $shape.name "pods") (or $covered (and $labels (not $last))) }}
    {{- include "gps.notCovered" $root | nindent 4 }}
    {{- else }} {}
    {{- end }}
  matchConditions:
    {{- if $shape.templates }}
    - name: not-controlled
      expression: |-
        {{- include "gps.celNotControlled" $root | nindent 8 }}
    - name: changed-template-has-selected-image
      expression: |-
        {{- $expression := include "gps.celChangedTemplateSelects" (dict "root" $root "templates" $shape.templates "last" $last) }}
        {{- /* Kubernetes parses no expression of more than 100,000 characters (cel-go, defaultMaxExpressionSize). */}}
        {{- if gt (len $expression) 90000 }}
        {{- fail (printf "extraWorkloadKinds: %s has too many pod templates for so many patterns of images: the expression that looks for them is %d characters long" $shape.name (len $expression)) }}
        {{- end }}
        {{- $expression | nindent 8 }}
    {{- else }}
    - name: changes
      expression: |-
        {{- include "gps.celChanged" $shape.template | nindent 8 }}
    {{- if $shape.template }}
    - name: not-controlled
      expression: |-
        {{- include "gps.celNotControlled" $root | nindent 8 }}
    {{- end }}
    {{- if $last }}
    - name: not-listed
      expression: |-
        {{- include "gps.celNotListed" $shape.template | nindent 8 }}
    {{- end }}
    {{- if and $mutating (not $last) (not $shape.template) }}
    # A Pod that mounts the Secret has to find it, whatever it pulls.
    - name: has-selected-image-or-mounts
      expression: |-
        (
        {{- include "gps.celHasSelectedImage" (dict "root" $root "template" $shape.template) | nindent 8 }}
        ) || (
        {{- include "gps.celMounts" $root | nindent 8 }}
        )
    {{- else }}
    - name: has-selected-image
      expression: |-
        {{- include "gps.celHasSelectedImage" (dict "root" $root "template" $shape.template) | nindent 8 }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Annotations of both webhook configurations. With cert-manager, its CA injector writes the `caBundle`. */}}
{{- define "gps.webhookAnnotations" -}}
{{- $annotations := deepCopy .Values.webhooks.annotations -}}
{{- if .Values.certManager.enabled -}}
{{- $annotations = set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s" (include "gps.namespace" .) (include "gps.tlsSecretName" .)) -}}
{{- end -}}
{{- toYaml $annotations -}}
{{- end -}}
