"""Text for messages: users' own words made safe, commands and guides."""

import re
import shlex
from collections.abc import Iterable
from typing import Final

from webhook.core.names import PROVISION_LABEL

_MAX_SHOWN: Final = 256
"""Longest excerpt of a user's own text in a message; a reference has 255 characters at most (distribution grammar)."""

_FIELD: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


def shown(text: str) -> str:
    """Cut a user's own text to what a message can carry, without control characters."""
    text = printable(text[: _MAX_SHOWN + 1])
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def printable(text: str) -> str:
    """Replace control characters and line breaks, which a terminal or a CI system would take for more than text."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def named(text: str) -> str:
    """Give a user's own name for something as `shown` does, or say that it has none."""
    return shown(text) or "(unnamed)"


def dotted(tokens: Iterable[str | int]) -> str:
    """Write a place in an object as the API server does: `spec.groups[0].template`, `spec.by["a.b"].template`."""
    text = ""
    for token in tokens:
        if isinstance(token, int):
            text += f"[{token}]"
        elif _FIELD.fullmatch(token):
            text += f".{token}" if text else token
        else:
            text += f'["{shown(token)}"]'
    return text


def pointer(tokens: Iterable[str | int]) -> str:
    """Write a place in an object as a JSON pointer, each token cut to what a message can carry."""
    return "".join(f"/{escaped(shown(str(token)))}" for token in tokens)


def escaped(token: str) -> str:
    """Escape a token of a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")


ENTRY_GUIDE: Final = 'docs/operations.md, "Add an entry to a pull secret"'
ROTATE_GUIDE: Final = 'docs/operations.md, "Rotate the token"'

_DNS_SUBDOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
"""Names a Secret can have, a little wider than RFC 1123; all of them are safe within a shell command."""


def create_secret(name: str, namespace: str, entry: str) -> tuple[str, ...]:
    """Give the commands that make a pull secret; the token stays out of the shell's history and of annotations.

    None for a name that no Secret can have.
    """
    if not _DNS_SUBDOMAIN.fullmatch(name):
        return ()
    create = (
        f"kubectl create secret docker-registry {name} --namespace {namespace} --docker-server={entry or 'REGISTRY'} "
        '--docker-username=USER --docker-password="$TOKEN"'
    )
    return "read -rsp 'Token: ' TOKEN", create


def delete_secret(name: str, namespace: str) -> str:
    """Give the command that deletes a Secret."""
    return f"kubectl delete secret {shlex.quote(name)} --namespace {namespace}"


def ask_for_copy(namespace: str) -> str:
    """Give the command that has a namespace's copy made, whether or not a workload needs it."""
    return f"kubectl label namespace {namespace} {PROVISION_LABEL}=true"


def force_sync(name: str, namespace: str) -> str:
    """Give the command that has the External Secrets Operator read an ExternalSecret at once."""
    external = f"kubectl annotate externalsecret {shlex.quote(name)} --namespace {namespace}"
    return f'{external} --overwrite force-sync="$(date +%s)"'
