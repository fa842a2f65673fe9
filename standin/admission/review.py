"""The AdmissionReview a webhook is sent, in the shape recorded in ``admission-reviews/*.json``."""

from __future__ import annotations

from typing import Any

from standin.admission.rules import RuleTarget
from standin.interfaces import Attributes, Json


def build(attributes: Attributes, form: RuleTarget, obj: Json | None, *, uid: str) -> Json:
    """Build the review of one request.

    Args:
        attributes: The request.
        form: The group and version the webhook asked for, see `rules.covered`.
        obj: The object as earlier webhooks left it; replaces `attributes.object`.
        uid: Identifies this call; the answer must repeat it.
    """
    request_kind = kind_of(attributes)
    resource = attributes.resource
    converted = (form.group, form.version) != (resource.group, resource.version)
    kind = {**request_kind, "group": form.group, "version": form.version} if converted else request_kind
    request: Json = {
        "uid": uid,
        "kind": kind,
        "resource": {"group": form.group, "version": form.version, "resource": resource.plural},
        "subResource": attributes.subresource,
        "requestKind": request_kind,
        "requestResource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": attributes.namespace,
        "operation": attributes.operation.value,
        "userInfo": user_info(attributes),
        "object": in_version(obj, kind) if converted else obj,
        "oldObject": in_version(attributes.old_object, kind) if converted else attributes.old_object,
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    for optional in ("subResource", "requestSubResource", "name", "namespace"):
        if not request[optional]:
            del request[optional]
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def kind_of(attributes: Attributes) -> Json:
    """Return the group, version and kind of the request's object: for a subresource, those of its own type."""
    carried = attributes.object or (attributes.old_object if attributes.subresource else None)
    if carried is None:
        resource = attributes.resource
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}
    group, _, version = carried["apiVersion"].rpartition("/")
    return {"group": group, "version": version, "kind": carried["kind"]}


def in_version(obj: Json | None, kind: Json) -> Json | None:
    """Relabel an object with another version of its kind, which is all that conversion strategy `None` does."""
    if obj is None:
        return None
    group, version = kind["group"], kind["version"]
    return {**obj, "apiVersion": f"{group}/{version}" if group else version}


def user_info(attributes: Attributes) -> Json:
    """Return `authentication.k8s.io/v1` UserInfo, without what is empty."""
    user = attributes.user
    info: dict[str, Any] = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {key: value for key, value in info.items() if value}
