{{/*
An image pattern as a regular expression, by the five steps that `pattern_to_regex` in webhook/core/images.py documents;
a test holds the two equal. The schema has checked the characters; what it cannot say in a sentence fails here.
Arguments: list of pattern and where it stands (for the error).
*/}}
{{- define "gps.imageRegex" -}}
{{- $pattern := index . 0 -}}
{{- $where := index . 1 -}}
{{- $host := lower (index (splitn "/" 2 $pattern) "_0") -}}
{{- $path := index (splitn "/" 2 $pattern) "_1" -}}
{{- $written := regexFind ":[0-9]+$" $host -}}
{{- $name := trimSuffix $written $host -}}
{{- $port := regexReplaceAll "^:0*([0-9]+)$" $written "${1}" -}}
{{- if or (eq $name "docker.io") (eq $name "index.docker.io") -}}
{{- fail (printf "%s: images of Docker Hub are mostly written without a host, so %q cannot select them" $where $pattern) -}}
{{- end -}}
{{- if not (or (contains "." $name) $port (eq $name "localhost") (hasPrefix "[" $name)) -}}
{{- fail (printf "%s: %q has no registry host; a host has a dot or a port, or is localhost" $where $pattern) -}}
{{- end -}}
^
{{- range $character := splitList "" $name -}}
{{- if has $character (list "." "[" "]") -}}\{{ $character }}
{{- else if eq $character "*" -}}[^/:]*
{{- else if regexMatch "[a-z]" $character -}}[{{ $character }}{{ upper $character }}]
{{- else -}}{{ $character }}
{{- end -}}
{{- end -}}
{{- ternary "(:0*443)?" (printf ":0*%s" $port) (has $port (list "" "443")) -}}
/
{{- $path | replace "." "\\." | replace "*" "[^:@\\n]*" -}}
([:@\n](?s:.*))?$
{{- end -}}

{{/*
Keys of `auths` that serve the patterns and little else, as a JSON list: HOST/PATH/ down to the last folder that a pattern names, or
the host if it names none. A pattern of many hosts has no such key, and is passed over.
*/}}
{{- define "gps.recommendedEntries" -}}
{{- $entries := list -}}
{{- range .Values.images.include -}}
{{- $host := index (splitn "/" 2 .) "_0" | lower | trimSuffix ":443" -}}
{{- if not (contains "*" $host) -}}
{{- $folder := index (splitn "/" 2 .) "_1" | splitList "*" | first | regexFind ".*/" -}}
{{- $entries = append $entries (ternary (printf "%s/%s" $host $folder) $host (ne $folder "")) -}}
{{- end -}}
{{- end -}}
{{- $entries | uniq | toJson -}}
{{- end -}}

{{/* One regular expression for a list of patterns. Arguments: list of patterns and the name of their value. */}}
{{- define "gps.imagesRegex" -}}
{{- $where := index . 1 -}}
{{- $all := list -}}
{{- range $index, $pattern := index . 0 -}}
{{- $all = append $all (include "gps.imageRegex" (list $pattern (printf "%s[%d]" $where $index))) -}}
{{- end -}}
{{- join "|" $all -}}
{{- end -}}

{{/* CEL: is the image `.` (an expression) selected? Arguments: list of root context and expression. */}}
{{- define "gps.imageSelected" -}}
{{- $values := (index . 0).Values -}}
{{- $image := index . 1 -}}
{{ $image }}.matches(r'{{ include "gps.imagesRegex" (list $values.images.include "images.include") }}')
{{- if $values.images.exclude }} && !{{ $image }}.matches(r'{{ include "gps.imagesRegex" (list $values.images.exclude "images.exclude") }}'){{ end }}
{{- end -}}
