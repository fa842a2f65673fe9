"""Shell commands and guides that texts name, each written once."""

import re
import shlex
from typing import Final

from webhook.core.names import PROVISION_LABEL

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
