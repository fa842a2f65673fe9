"""Image patterns as regular expressions: what the chart is held to, which builds the same in its templates."""

from typing import Final

from webhook.core.patterns import compile_pattern

_HOST_REGEX: Final = {".": r"\.", "[": r"\[", "]": r"\]", "*": "[^/:]*"} | {same: same for same in "0123456789-:"}


def pattern_to_regex(pattern: str) -> str:
    r"""Turn a pattern into a regular expression over an image as written in a pod spec.

    It means the same to RE2 (CEL's ``matches``) and to Python's ``re.search``, on every string, and selects exactly
    what `ImagePatterns` selects. The Helm chart builds the same text, in these steps:

    1. Split the pattern at the first ``/`` into host and path, and the host's port off.
    2. Host, in lower case: put ``\`` before each of ``. [ ]``; each ``*`` becomes ``[^/:]*``; each letter ``x``
       becomes ``[xX]``. (``(?i:…)`` would not do: engines differ in what it makes of ``K`` and ``ı``.)
    3. Port, without leading zeros: ``(:0*443)?`` for none or 443, else ``:0*`` and the port.
    4. Path: put ``\`` before each ``.``; each ``*`` becomes ``[^:@\n]*``.
    5. ``^`` host port ``/`` path ``([:@\n](?s:.*))?$``: a tag or digest is whatever follows. The newline is there
       because Python's ``$`` also matches before a last one; so both engines select such an image.

    Raises:
        InvalidPattern: With the reason.
    """
    compiled = compile_pattern(pattern)
    host = "".join(_HOST_REGEX.get(character, f"[{character}{character.upper()}]") for character in compiled.name)
    path = compiled.path.replace(".", r"\.").replace("*", r"[^:@\n]*")
    port = f":0*{compiled.port[1:]}" if compiled.port else "(:0*443)?"
    return rf"^{host}{port}/{path}([:@\n](?s:.*))?$"
