{{/* Entries that values give themselves, as YAML: a list of {registry, username, token}. */}}
{{- define "gps.createdEntries" -}}
{{- with .Values.centralSecret.create -}}
{{- .entries | default (list (dict "registry" .registry "username" .username "token" .token)) | toYaml -}}
{{- end -}}
{{- end -}}

{{/*
Entries from a store, as YAML: a list of {registry, username, token}, the latter two as the operator reads them: {secretKey,
key, property}.
*/}}
{{- define "gps.externalEntries" -}}
{{- with .Values.centralSecret.externalSecret -}}
{{- $given := .entries | default (list (pick . "registry" "usernameKey" "tokenKey")) -}}
{{- $entries := list -}}
{{- range $index, $entry := $given -}}
{{- $suffix := ternary (printf "%d" $index) "" (gt $index 0) -}}
{{- $entries = append $entries (dict
  "registry" $entry.registry
  "username" (dict "secretKey" (print "username" $suffix) "key" $entry.usernameKey "property" $entry.usernameProperty)
  "token" (dict "secretKey" (print "token" $suffix) "key" $entry.tokenKey "property" $entry.tokenProperty)) -}}
{{- end -}}
{{- $entries | toYaml -}}
{{- end -}}
{{- end -}}

{{/* The operator's own template of a dockerconfigjson, whose braces are not Helm's. Argument: the entries above. */}}
{{- define "gps.operatorTemplate" -}}
{{- $members := list -}}
{{- range . -}}
{{- $members = append $members (printf `%s:{"username":{{ .%s | toJson }},"password":{{ .%s | toJson }},"auth":"{{ printf "%%s:%%s" .%s .%s | b64enc }}"}` (toJson .registry) .username.secretKey .token.secretKey .username.secretKey .token.secretKey) -}}
{{- end -}}
{"auths":{ {{- join "," $members -}} }}
{{- end -}}
