{{/* Whether the cluster serves a kind of admission policy. Arguments: list of root and the kind. */}}
{{- define "gps.serves" -}}
{{- if (index . 0).Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1/%s" (index . 1)) }}true{{ end -}}
{{- end -}}

{{/*
Who admits covered Pods (docs/in-api-server.md): `policies`, the API server alone; `label`, the server answers once and sets the
label, and the API server saves the second call; empty, the server answers both calls.
*/}}
{{- define "gps.inApiServer" -}}
{{- $enabled := toString .Values.inApiServer.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (include "gps.serves" (list . "MutatingAdmissionPolicy"))) -}}
policies
{{- else if and (eq $enabled "auto") (include "gps.serves" (list . "ValidatingAdmissionPolicy")) -}}
label
{{- end -}}
{{- end -}}

{{/* objectSelector of a webhook for Pods that are created: not those that the policies answer for. */}}
{{- define "gps.notCovered" -}}
matchExpressions:
  - {key: ghcr-pull-secrets.io/covered, operator: NotIn, values: ["true"]}
{{- end -}}

{{/* namespaceSelector term for namespaces whose enforcement is `deny`, among those that are looked at. */}}
{{- define "gps.denying" -}}
{{- if eq .Values.enforcement "deny" }}
- {key: ghcr-pull-secrets.io/enforce, operator: NotIn, values: [warn, "off"]}
{{- else }}
- {key: ghcr-pull-secrets.io/enforce, operator: In, values: [deny]}
{{- end }}
{{- end -}}

{{/* `ImagePatterns.digest` of webhook/core/images.py, of these values. */}}
{{- define "gps.patternsDigest" -}}
{{- printf "%s|%s" (join "," .Values.images.include) (join "," .Values.images.exclude) | sha256sum | trunc 16 -}}
{{- end -}}

{{/*
CEL: the Secret in `params` is a copy that this release keeps, and it covers every selected image whose host is written plainly;
`covers` in webhook/core/coverage.py. Policies do not see field managers: who writes other data into a copy loses the mark.
*/}}
{{- define "gps.celCovers" -}}
{{- $source := printf "%s/%s" (include "gps.namespace" .) (include "gps.secretName" .) | toJson -}}
params.type == "kubernetes.io/dockerconfigjson" &&
(!has(params.metadata.ownerReferences) || params.metadata.ownerReferences.size() == 0) &&
!has(params.metadata.deletionTimestamp) &&
has(params.metadata.labels) && "app.kubernetes.io/managed-by" in params.metadata.labels &&
params.metadata.labels["app.kubernetes.io/managed-by"] == "ghcr-pull-secrets" &&
has(params.metadata.annotations) && "ghcr-pull-secrets.io/source" in params.metadata.annotations &&
params.metadata.annotations["ghcr-pull-secrets.io/source"] == {{ $source }} &&
"ghcr-pull-secrets.io/covers" in params.metadata.annotations &&
params.metadata.annotations["ghcr-pull-secrets.io/covers"] == "all" &&
"ghcr-pull-secrets.io/covers-patterns" in params.metadata.annotations &&
params.metadata.annotations["ghcr-pull-secrets.io/covers-patterns"] == {{ include "gps.patternsDigest" . | toJson }} &&
(
  !("kubectl.kubernetes.io/last-applied-configuration" in params.metadata.annotations) ||
  "ghcr-pull-secrets.io/adopt" in params.metadata.annotations &&
  params.metadata.annotations["ghcr-pull-secrets.io/adopt"] == {{ $source }}
)
{{- end -}}

{{/*
CEL: an image is not selected, or its host is written plainly: no capitals, no port 443, no zero before a port. The kubelet finds
an entry by the host as it is written. Arguments: list of root and the image.
*/}}
{{- define "gps.celPlain" -}}
{{- $image := index . 1 -}}
!({{ include "gps.imageSelected" . }}) ||
({{ $image }}.matches(r'^([a-z0-9.-]+|\[[a-f0-9:]+\])(:[1-9][0-9]*)?/') && !{{ $image }}.matches(r'^[^/]*:443/'))
{{- end -}}

{{/* CEL: every image of a Pod is so. Argument: root. */}}
{{- define "gps.celPlainImages" -}}
{{- $root := . -}}
{{- range $index, $name := list "containers" "initContainers" "ephemeralContainers" }}
{{ if $index }}&& {{ end }}{{ include "gps.celListOf" (printf "object.spec.%s" $name) }}.all(c,
  type(c) != map || !({{ include "gps.celIs" (list "c.image" "string") }}) || {{ include "gps.celPlain" (list $root "c.image") }})
{{- end }}
&& {{ include "gps.celListOf" "object.spec.volumes" }}.all(v,
  type(v) != map || !({{ include "gps.celIs" (list "v.image" "map") }}) || !({{ include "gps.celIs" (list "v.image.reference" "string") }}) ||
  {{ include "gps.celPlain" (list $root "v.image.reference") }})
{{- end -}}

{{/* CEL: no image of a Pod is one that is never pulled. */}}
{{- define "gps.celAllPulled" -}}
{{- range $index, $name := list "containers" "initContainers" "ephemeralContainers" }}
{{ if $index }}&& {{ end }}{{ include "gps.celListOf" (printf "object.spec.%s" $name) }}.all(c,
  type(c) != map || !has(c.imagePullPolicy) || c.imagePullPolicy != "Never")
{{- end }}
&& {{ include "gps.celListOf" "object.spec.volumes" }}.all(v,
  type(v) != map || !({{ include "gps.celIs" (list "v.image" "map") }}) || !has(v.image.pullPolicy) || v.image.pullPolicy != "Never")
{{- end -}}

{{/* CEL: the Pod is neither a static one's image nor annotated with anything but "true". */}}
{{- define "gps.celOwnWord" -}}
!({{ include "gps.celReaches" (list "object" "/metadata/annotations") }}) || (
  !("kubernetes.io/config.mirror" in object.metadata.annotations) && (
    !("ghcr-pull-secrets.io/inject" in object.metadata.annotations) ||
    object.metadata.annotations["ghcr-pull-secrets.io/inject"] == "true"))
{{- end -}}

{{/* CEL: a Pod lists no pull secret but ours. */}}
{{- define "gps.celNoOther" -}}
{{ include "gps.celListOf" "object.spec.imagePullSecrets" }}.all(s,
  type(s) == map && {{ include "gps.celIs" (list "s.name" "string") }} && s.name == "ghcr-secret")
{{- end -}}

{{/* CEL: a Pod is small enough to be judged (`MAX_IMAGES` in webhook/core/policy.py), and for what CEL may cost. */}}
{{- define "gps.celFewImages" -}}
{{ include "gps.celListOf" "object.spec.containers" }}.size() + {{ include "gps.celListOf" "object.spec.initContainers" }}.size() +
{{ include "gps.celListOf" "object.spec.ephemeralContainers" }}.size() + {{ include "gps.celListOf" "object.spec.volumes" }}.size() <= 256
{{- end -}}

{{/* CEL: the namespace's labels mean something; of others the server warns. */}}
{{- define "gps.celKnownLabels" -}}
!has(namespaceObject.metadata.labels) || (
  (!("ghcr-pull-secrets.io/inject" in namespaceObject.metadata.labels) ||
    namespaceObject.metadata.labels["ghcr-pull-secrets.io/inject"] in ["", "true"]) &&
  (!("ghcr-pull-secrets.io/enforce" in namespaceObject.metadata.labels) ||
    namespaceObject.metadata.labels["ghcr-pull-secrets.io/enforce"] in ["", "deny"]))
{{- end -}}

{{/*
CEL: the Pod has the label, and lists a pull secret. So it is after a policy acted: an API server then calls every mutating policy
once more, also where nobody else changed anything.
*/}}
{{- define "gps.celCoveredAlready" -}}
has(object.metadata.labels) && "ghcr-pull-secrets.io/covered" in object.metadata.labels &&
object.metadata.labels["ghcr-pull-secrets.io/covered"] == "true" &&
{{ include "gps.celListOf" "object.spec.imagePullSecrets" }}.size() > 0
{{- end -}}

{{/* CEL: a Pod is to list `ghcr-secret` and to get the label. What is false for most Pods comes first. Argument: root. */}}
{{- define "gps.celToCover" -}}
!(
  {{- include "gps.celCoveredAlready" . | nindent 2 }}
) &&
{{ include "gps.celHasSelectedImage" (dict "root" . "template" "") }} &&
{{- range list "gps.celFewImages" "gps.celPlainImages" "gps.celAllPulled" "gps.celOwnWord" "gps.celNoOther" "gps.celCovers" }}
(
  {{- include . $ | nindent 2 }}
){{ if ne . "gps.celCovers" }} &&{{ end }}
{{- end }}
{{- end -}}

{{/*
CEL: the operations that make a Pod list `ghcr-secret` and give it the label. A list with a map in it makes the API server panic,
so the list is begun empty.
*/}}
{{- define "gps.celCover" -}}
!variables.known ? [] :
(has(object.spec.imagePullSecrets) && object.spec.imagePullSecrets.size() > 0 ? [] : [
  JSONPatch{op: "add", path: "/spec/imagePullSecrets", value: []},
  JSONPatch{op: "add", path: "/spec/imagePullSecrets/-", value: {"name": "ghcr-secret"}}
]) +
[has(object.metadata.labels) ?
  JSONPatch{op: "add", path: "/metadata/labels/ghcr-pull-secrets.io~1covered", value: "true"} :
  JSONPatch{op: "add", path: "/metadata/labels", value: {"ghcr-pull-secrets.io/covered": "true"}}]
{{- end -}}
