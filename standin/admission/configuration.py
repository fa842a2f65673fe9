"""Validation of webhook configurations when they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from standin.admission import conditions
from standin.errors import FieldError

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = re.compile(rf"^{_LABEL}(\.{_LABEL}){{2,}}$")
_MAX_TIMEOUT_SECONDS = 30


def check(configuration: dict[str, Any]) -> list[FieldError]:
    """Return what the API server would refuse in a Mutating- or ValidatingWebhookConfiguration."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        errors += _webhook(webhook, path)
        name = webhook.get("name", "")
        if name in names:
            errors.append(
                FieldError(reason="FieldValueDuplicate", message=_says("Duplicate", name), field=f"{path}.name")
            )
        names.add(name)
    return errors


def _webhook(webhook: dict[str, Any], path: str) -> Iterator[FieldError]:
    name = webhook.get("name", "")
    if not _QUALIFIED_NAME.match(name):
        text = _says("Invalid", name, "should be a domain with at least three segments separated by dots")
        yield FieldError(reason="FieldValueInvalid", message=text, field=f"{path}.name")
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        yield _required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    elif not {"v1", "v1beta1"} & set(versions):
        text = _says("Invalid", versions, "must include at least one of v1, v1beta1")
        yield FieldError(reason="FieldValueInvalid", message=text, field=f"{path}.admissionReviewVersions")
    effects = webhook.get("sideEffects")
    if effects is None:
        yield _required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    elif effects not in {"None", "NoneOnDryRun"}:
        text = f'Unsupported value: {json.dumps(effects)}: supported values: "None", "NoneOnDryRun"'
        yield FieldError(reason="FieldValueNotSupported", message=text, field=f"{path}.sideEffects")
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= _MAX_TIMEOUT_SECONDS:
        text = _says("Invalid", timeout, "the timeout value must be between 1 and 30 seconds")
        yield FieldError(reason="FieldValueInvalid", message=text, field=f"{path}.timeoutSeconds")
    client = webhook.get("clientConfig") or {}
    if ("url" in client) == ("service" in client):
        yield _required(f"{path}.clientConfig", "exactly one of url or service is required")
    elif "url" in client and not client["url"].startswith("https://"):
        text = _says("Invalid", client["url"].partition(":")[0], "'https' is the only allowed URL scheme")
        yield FieldError(reason="FieldValueInvalid", message=text, field=f"{path}.clientConfig.url")
    for number, condition in enumerate(webhook.get("matchConditions") or ()):
        yield from _condition(condition, f"{path}.matchConditions[{number}]")


def _condition(condition: dict[str, Any], path: str) -> Iterator[FieldError]:
    expression = condition.get("expression", "")
    if not expression.strip():
        yield _required(f"{path}.expression", "")
        return
    try:
        conditions.check(expression)
    except conditions.CompileError as error:
        text = _says("Invalid", expression, f"compilation failed: {error.text}")
        yield FieldError(reason="FieldValueInvalid", message=text, field=f"{path}.expression")


def _says(what: str, value: object, why: str = "") -> str:
    text = f"{what} value: {json.dumps(value, ensure_ascii=False)}"
    return f"{text}: {why}" if why else text


def _required(field: str, why: str) -> FieldError:
    return FieldError(
        reason="FieldValueRequired", message=f"Required value: {why}" if why else "Required value", field=field
    )
