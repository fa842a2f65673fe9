"""Subresources that are not just a view of part of their object: scale, eviction, token, exec."""

import datetime as dt
from dataclasses import replace
from typing import Any

import orjson

from standin import errors, patches
from standin.auth import TOKEN_LIFE_S, Tokens
from standin.deletion import delete
from standin.errors import ApiError, FieldError
from standin.interfaces import Json, Operation
from standin.registry import ATTEMPTS, Registry
from standin.schema import UNKNOWN
from standin.writes import RuleTarget, Written

MIN_TOKEN_LIFE_S = 600
SUCCESS: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _selector_text(selector: Json | None) -> str:
    labels = (selector or {}).get("matchLabels", selector) or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def scale_of(obj: Json) -> Json:
    """Return the `autoscaling/v1` Scale of a workload."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    shown: Json = {"replicas": status.get("replicas", 0)}
    if selector := _selector_text(spec.get("selector")):
        shown["selector"] = selector
    replicas = spec.get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": shown,
    }


class Subresources:
    """Serves what the registry alone does not."""

    def __init__(self, registry: Registry, tokens: Tokens) -> None:
        self._registry = registry
        self._store = registry.store
        self._tokens = tokens

    def scale(self, target: RuleTarget, patch_type: str | None, body: Any) -> Written:
        """PUT (`patch_type` None) or PATCH of a Scale: admission sees the Scale, the workload gets its replicas."""
        resource, name = target.resource, target.name
        for _ in range(ATTEMPTS):
            record = self._store.record(resource.key, target.namespace, name)
            if record is None:
                raise errors.not_found(resource.plural, resource.group, name)
            old = scale_of(record.obj)
            if patch_type is None:
                new = {**old, **body, "metadata": {**old["metadata"], **body.get("metadata", {})}}
            else:
                new = patches.apply(patch_type, old, body, UNKNOWN)
            version = new["metadata"].get("resourceVersion")
            if version and version != old["metadata"]["resourceVersion"]:
                raise errors.conflict(resource.plural, resource.group, name)
            warnings: list[str] = []
            kind = "" if patch_type is None else "PatchOptions"
            admitted = self._registry.admit.run(target, Operation.UPDATE, new, old, warnings, kind=kind) or new
            replicas = (admitted.get("spec") or {}).get("replicas", 0)
            if not isinstance(replicas, int) or replicas < 0:
                message = f"Invalid value: {orjson.dumps(replicas).decode()}: must be greater than or equal to 0"
                found = FieldError(reason="FieldValueInvalid", message=message, field="spec.replicas")
                raise errors.invalid("Scale", "autoscaling", name, [found])
            changed = {**record.obj, "spec": {**record.obj["spec"], "replicas": replicas}}
            stored = self._registry.replace(target, record, changed)
            if stored is not None:
                return Written(obj=scale_of(stored), warnings=warnings)
        raise errors.conflict(resource.plural, resource.group, name)

    def evict(self, target: RuleTarget, body: Json) -> Json:
        """Delete a Pod unless a PodDisruptionBudget allows no disruption (429)."""
        pod = self._store.get("pods", target.namespace, target.name)
        if pod is None:
            raise errors.not_found("pods", "", target.name)
        self._registry.admit.run(target, Operation.CREATE, body, None, [])
        labels = pod["metadata"].get("labels") or {}
        for budget in self._store.list("poddisruptionbudgets.policy", target.namespace):
            wanted = ((budget.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
            meant = bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
            if meant and (budget.get("status") or {}).get("disruptionsAllowed", 0) < 1:
                raise _disruption_refused(budget["metadata"]["name"])
        delete(self._registry, replace(target, subresource=""), body.get("deleteOptions") or {})
        return SUCCESS

    def connect(self, target: RuleTarget, kind: str) -> None:
        """Admit an exec, attach or port-forward, which then fails: there is no kubelet."""
        shown = {"kind": kind, "apiVersion": "v1"}
        self._registry.admit.run(target, Operation.CONNECT, shown, None, [])
        raise errors.internal("no kubelet runs behind the stand-in")

    def token(self, namespace: str, name: str, body: Json) -> Json:
        """Answer a TokenRequest of a ServiceAccount."""
        account = self._store.get("serviceaccounts", namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", "", name)
        spec = {"expirationSeconds": TOKEN_LIFE_S, **(body.get("spec") or {})}
        if spec["expirationSeconds"] < MIN_TOKEN_LIFE_S:
            message = f"Invalid value: {spec['expirationSeconds']}: may not specify a duration less than 10 minutes"
            found = FieldError(reason="FieldValueInvalid", message=message, field="spec.expirationSeconds")
            raise errors.invalid("TokenRequest", "authentication.k8s.io", "", [found])
        uid = account["metadata"]["uid"]
        text, expires = self._tokens.issue(namespace, name, uid, life_s=spec["expirationSeconds"])
        stamp = dt.datetime.fromtimestamp(expires, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
            "status": {"token": text, "expirationTimestamp": stamp},
        }


def _disruption_refused(budget: str) -> ApiError:
    cause = {
        "reason": "DisruptionBudget",
        "message": f"The disruption budget {budget} does not allow another disruption now",
    }
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", text, {"causes": [cause]})
