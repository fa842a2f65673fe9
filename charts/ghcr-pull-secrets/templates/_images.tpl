{{/*
Patterns of the images that are looked after, as a JSON list. A release of the time when `ghcr.io/*` was the default keeps it on an
upgrade whose values do not say.
*/}}
{{- define "gps.include" -}}
{{- if .Values.images.include -}}
{{- .Values.images.include | toJson -}}
{{- else if .Release.IsUpgrade -}}
{{- list "ghcr.io/*" | toJson -}}
{{- else -}}
{{- fail "images.include: say which images need ghcr-secret, such as images.include={ghcr.io/YOUR-ORG/*}; ghcr.io/* for all of ghcr.io has a price that docs/install.md tells" -}}
{{- end -}}
{{- end -}}

{{/*
The host of an image pattern as a regular expression, by the steps that `pattern_to_regex` in tests/patterns.py documents;
a test holds the two equal. The schema has checked the characters; what it cannot say in a sentence fails here.
Arguments: list of pattern and where it stands (for the error).
*/}}
{{- define "gps.imageHostRegex" -}}
{{- $pattern := index . 0 -}}
{{- $where := index . 1 -}}
{{- $host := lower (index (splitn "/" 2 $pattern) "_0") -}}
{{- $written := regexFind ":[0-9]+$" $host -}}
{{- $name := trimSuffix $written $host -}}
{{- $port := regexReplaceAll "^:0*([0-9]+)$" $written "${1}" -}}
{{- if or (eq $name "docker.io") (eq $name "index.docker.io") -}}
{{- fail (printf "%s: images of Docker Hub are mostly written without a host, so %q cannot select them" $where $pattern) -}}
{{- end -}}
{{- if not (or (contains "." $name) $port (eq $name "localhost") (hasPrefix "[" $name)) -}}
{{- fail (printf "%s: %q has no registry host; a host has a dot or a port, or is localhost" $where $pattern) -}}
{{- end -}}
{{- range $character := splitList "" $name -}}
{{- if has $character (list "." "[" "]") -}}\{{ $character }}
{{- else if eq $character "*" -}}[^/:]*
{{- else if regexMatch "[a-z]" $character -}}[{{ $character }}{{ upper $character }}]
{{- else -}}{{ $character }}
{{- end -}}
{{- end -}}
{{- ternary "(:0*443)?" (printf ":0*%s" $port) (has $port (list "" "443")) -}}
{{- end -}}

{{/*
Keys of `auths` that serve the patterns and little else, as a JSON list: HOST/PATH/ down to the last folder that a pattern names, or
the host if it names none. A pattern of many hosts has no such key, and is passed over.
*/}}
{{- define "gps.recommendedEntries" -}}
{{- $entries := list -}}
{{- range include "gps.include" . | fromJsonArray -}}
{{- $host := index (splitn "/" 2 .) "_0" | lower | trimSuffix ":443" -}}
{{- if not (contains "*" $host) -}}
{{- $folder := index (splitn "/" 2 .) "_1" | splitList "*" | first | regexFind ".*/" -}}
{{- $entries = append $entries (ternary (printf "%s/%s" $host $folder) $host (ne $folder "")) -}}
{{- end -}}
{{- end -}}
{{- $entries | uniq | toJson -}}
{{- end -}}

{{/*
One regular expression for a list of patterns, with each host written once. Arguments: list of patterns and the name of their value.
*/}}
{{- define "gps.imagesRegex" -}}
{{- $where := index . 1 -}}
{{- $hosts := list -}}
{{- $paths := dict -}}
{{- range $index, $pattern := index . 0 -}}
{{- $host := include "gps.imageHostRegex" (list $pattern (printf "%s[%d]" $where $index)) -}}
{{- $path := index (splitn "/" 2 $pattern) "_1" | replace "." "\\." | replace "*" "[^:@\\n]*" -}}
{{- $hosts = append $hosts $host | uniq -}}
{{- $paths = set $paths $host (append (get $paths $host | default list) $path) -}}
{{- end -}}
{{- $all := list -}}
{{- range $host := $hosts -}}
{{- $some := get $paths $host -}}
{{- $all = append $all (printf "^%s/%s([:@\\n](?s:.*))?$" $host (ternary (first $some) (printf "(%s)" (join "|" $some)) (eq (len $some) 1))) -}}
{{- end -}}
{{- join "|" $all -}}
{{- end -}}

{{/* CEL: is the image `.` (an expression) selected? Arguments: list of root context and expression. */}}
{{- define "gps.imageSelected" -}}
{{- $values := (index . 0).Values -}}
{{- $image := index . 1 -}}
{{ $image }}.matches(r'{{ include "gps.imagesRegex" (list (include "gps.include" (index . 0) | fromJsonArray) "images.include") }}')
{{- if $values.images.exclude }} && !{{ $image }}.matches(r'{{ include "gps.imagesRegex" (list $values.images.exclude "images.exclude") }}'){{ end }}
{{- end -}}
