"""Shell completion of setting values."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from click.shell_completion import CompletionItem

from webhook.config import Setting

_PATHS: Final = {"FILE": "file", "DIR": "dir"}
"""Metavariables that the shell itself can complete."""


def complete(setting: Setting, given: Mapping[str, Any], begun: str) -> list[CompletionItem]:
    """List what a value could go on to be.

    Args:
        setting: Whose value it is.
        given: The command's other parameters.
        begun: What is typed already.
    """
    if setting.metavar in _PATHS:
        return [CompletionItem(begun, type=_PATHS[setting.metavar])]
    if setting.name == "context":
        # Imported late: it takes the Kubernetes client, and is asked for by few.
        from webhook.cluster.connecting import contexts  # noqa: PLC0415

        explicit = given.get("kubeconfig")
        choices = contexts(Path(explicit) if explicit else None, os.environ)
    else:
        choices = tuple(setting.metavar.split("|")) if "|" in setting.metavar else ()
    return [CompletionItem(each) for each in choices if each.startswith(begun)]
