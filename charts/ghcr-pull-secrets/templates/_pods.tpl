{{/* The image of everything here: by digest if one is given. */}}
{{- define "gps.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Not empty where the cluster gives each namespace a range of uids, as OpenShift's `restricted-v2` does: it admits no Pod that
asks for an id outside that range.
*/}}
{{- define "gps.idsAreAssigned" -}}
{{- $adapt := .Values.openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
true
{{- end -}}
{{- end -}}

{{/* securityContext of a Pod: "restricted" in the words of the Pod Security Standards, and no more than a numeric uid needs. */}}
{{- define "gps.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "gps.idsAreAssigned" .) }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "gps.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Probes of a component that serves /healthz and /readyz on its port `ops`. */}}
{{- define "gps.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Fields of a container that do not depend on what it runs. */}}
{{- define "gps.containerBase" -}}
image: {{ include "gps.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "gps.containerSecurityContext" . | nindent 2 }}
{{- end -}}

{{/* Not empty if there is a bundle of CAs to trust besides the system's. */}}
{{- define "gps.hasCaBundle" -}}
{{- or .Values.caBundle.configMap .Values.caBundle.secret -}}
{{- end -}}

{{/* Item of a Pod's `volumes`; only with `gps.hasCaBundle`. */}}
{{- define "gps.caBundleVolume" -}}
{{- $items := list (dict "key" .Values.caBundle.key "path" "ca.crt") -}}
- name: ca-bundle
{{- if .Values.caBundle.configMap }}
  configMap:
    name: {{ .Values.caBundle.configMap | quote }}
    items: {{ toJson $items }}
{{- else }}
  secret:
    secretName: {{ .Values.caBundle.secret | quote }}
    items: {{ toJson $items }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* Item of a container's `volumeMounts`. A folder, not the file by `subPath`, which would never change. */}}
{{- define "gps.caBundleMount" -}}
- name: ca-bundle
  mountPath: /ca-bundle
  readOnly: true
{{- end -}}

{{/* The flag that names it, for every command that calls the API server or a registry. */}}
{{- define "gps.caBundleArg" -}}
--ca-bundle=/ca-bundle/ca.crt
{{- end -}}

{{/* What a hook's container has beside image and arguments. */}}
{{- define "gps.hookContainer" -}}
{{- with .Values.hooks.extraEnv -}}
env:
  {{- toYaml . | nindent 2 }}
{{ end -}}
resources:
  {{- toYaml .Values.controller.resources | nindent 2 }}
{{- if or (include "gps.hasCaBundle" .) .Values.hooks.extraVolumeMounts }}
volumeMounts:
  {{- if include "gps.hasCaBundle" . }}
  {{- include "gps.caBundleMount" . | nindent 2 }}
  {{- end }}
  {{- with .Values.hooks.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where a hook's Pod goes, and its volumes. */}}
{{- define "gps.hookPod" -}}
{{- include "gps.podBase" . }}
{{- with .Values.controller.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or (include "gps.hasCaBundle" .) .Values.hooks.extraVolumes }}
volumes:
  {{- if include "gps.hasCaBundle" . }}
  {{- include "gps.caBundleVolume" . | nindent 2 }}
  {{- end }}
  {{- with .Values.hooks.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Fields of a Pod that do not depend on what it runs. */}}
{{- define "gps.podBase" -}}
automountServiceAccountToken: true
# Nothing here looks for Services in the environment.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "gps.podSecurityContext" . | nindent 2 }}
{{- end -}}

{{/* Where a component's Pods go. Arguments: list of root and component. */}}
{{- define "gps.scheduling" -}}
{{- $component := index (index . 0).Values (index . 1) -}}
{{- with $component.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $component.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $component.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if $component.affinity }}
  {{- toYaml $component.affinity | nindent 2 }}
  {{- else if $component.hostNetwork }}
  podAntiAffinity:
    # Two of them would want the same ports of one node.
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "gps.selectorLabels" . | nindent 12 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "gps.selectorLabels" . | nindent 14 }}
  {{- end }}
{{- end -}}

{{/*
Checksum of what a component runs with. Its flags are in the Pod's template anyway; what `extraEnv` reads from ConfigMaps and
Secrets among `extraObjects` is not, and a process would never hear of a change. Arguments as above.
*/}}
{{- define "gps.checksum" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $parts := list (include (printf "gps.%sArgs" $component) $root) -}}
{{- with (index $root.Values $component).extraEnv -}}
{{- $parts = append $parts (include (print $root.Template.BasePath "/extraobjects.yaml") $root) -}}
{{- end -}}
{{- join "\n" $parts | sha256sum -}}
{{- end -}}

{{/*
metadata of a component's Pods, without the chart's version: a new chart with the same Pods must not restart them. Arguments
as above.
*/}}
{{- define "gps.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $component := index $root.Values (index . 1) -}}
labels:
  {{- merge (include "gps.selectorLabels" . | fromYaml) $component.podLabels $root.Values.commonLabels | toYaml | nindent 2 }}
{{- $checksum := dict "checksum/config" (include "gps.checksum" .) }}
annotations:
  {{- merge (deepCopy $component.podAnnotations) $checksum $root.Values.commonAnnotations | toYaml | nindent 2 }}
{{- end -}}
