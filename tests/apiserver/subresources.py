"""Subresources that are not just a view of part of their object: scale, eviction, token; and access reviews."""

import copy
import datetime as dt
from typing import Any

from tests.apiserver import errors, patches
from tests.apiserver.auth import TOKEN_LIFE_S, Tokens
from tests.apiserver.errors import ApiError, FieldError
from tests.apiserver.interfaces import Authorizer, Json, Operation, ResourceInfo, User
from tests.apiserver.registry import Registry, WriteOptions, Written
from tests.apiserver.schema import UNKNOWN
from tests.apiserver.store import MemoryStore

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

    def __init__(self, registry: Registry, tokens: Tokens, store: MemoryStore) -> None:
        self._registry = registry
        self._tokens = tokens
        self._store = store

    def scale(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, patch_type: str | None, body: Any,
        options: WriteOptions,
    ) -> Written:  # fmt: skip
        """PUT (`patch_type` None) or PATCH of a Scale: admission sees the Scale, the workload gets its replicas."""
        for _ in range(16):
            record = self._store.record(resource.key, namespace, name)
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
            admitted, warnings = self._registry.admit_scale(
                user, resource, namespace, name, options, new=new, old=old, patch=patch_type is not None
            )
            replicas = (admitted.get("spec") or {}).get("replicas", 0)
            if not isinstance(replicas, int) or replicas < 0:
                message = f"Invalid value: {replicas}: must be greater than or equal to 0"
                found = FieldError(reason="FieldValueInvalid", message=message, field="spec.replicas")
                raise errors.invalid("Scale", "autoscaling", name, [found])
            changed = copy.copy(record.obj)
            changed["spec"] = {**changed["spec"], "replicas": replicas}
            stored = self._registry.replace(resource, record, changed, options, subresource="scale")
            if stored is not None:
                return Written(obj=scale_of(stored), warnings=warnings)
        raise errors.conflict(resource.plural, resource.group, name)

    def evict(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, body: Json, options: WriteOptions
    ) -> Json:
        """Delete a Pod unless a PodDisruptionBudget allows no disruption (429)."""
        pod = self._store.get("pods", namespace, name)
        if pod is None:
            raise errors.not_found("pods", "", name)
        self._registry.admit_connect(user, resource, namespace, name, options, body, "eviction", Operation.CREATE)
        labels = pod["metadata"].get("labels") or {}
        for budget in self._store.list("poddisruptionbudgets.policy", namespace):
            wanted = ((budget.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
            meant = bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
            if meant and (budget.get("status") or {}).get("disruptionsAllowed", 0) < 1:
                budget_name = budget["metadata"]["name"]
                cause = {
                    "reason": "DisruptionBudget",
                    "message": f"The disruption budget {budget_name} does not allow another disruption now",
                }
                raise ApiError(
                    429,
                    "TooManyRequests",
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    {"causes": [cause]},
                )
        self._registry.delete(user, resource, namespace, name, body.get("deleteOptions") or {}, options)
        return SUCCESS

    def token(self, namespace: str, name: str, body: Json) -> Json:
        """Answer a TokenRequest of a ServiceAccount."""
        account = self._store.get("serviceaccounts", namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", "", name)
        life = float((body.get("spec") or {}).get("expirationSeconds") or TOKEN_LIFE_S)
        if life < 600:
            message = "Invalid value: must not be smaller than 10 minutes"
            found = FieldError(reason="FieldValueInvalid", message=message, field="spec.expirationSeconds")
            raise errors.invalid("TokenRequest", "authentication.k8s.io", "", [found])
        text, expires = self._tokens.issue(namespace, name, account["metadata"]["uid"], life_s=life)
        stamp = dt.datetime.fromtimestamp(expires, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "expirationSeconds": int(life),
                **{k: v for k, v in (body.get("spec") or {}).items() if k != "expirationSeconds"},
            },
            "status": {"token": text, "expirationTimestamp": stamp},
        }


class Reviews:
    """Serves the reviews of authorization.k8s.io and authentication.k8s.io: nothing of them is stored."""

    def __init__(self, registry: Registry, tokens: Tokens, authorize: "Authorize") -> None:
        self._registry = registry
        self._tokens = tokens
        self._authorize = authorize

    def answer(self, user: User, resource: ResourceInfo, namespace: str, body: Json) -> Json:
        """Return a review with its status."""
        spec = body.get("spec") or {}
        base = {
            **body,
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": body.get("metadata") or {},
        }
        match resource.kind:
            case "SelfSubjectAccessReview":
                return {**base, "status": self._access(user, spec)}
            case "SubjectAccessReview" | "LocalSubjectAccessReview":
                asked = User(name=spec.get("user", ""), groups=tuple(spec.get("groups") or ()))
                return {**base, "status": self._access(asked, spec)}
            case "SelfSubjectReview":
                return {**base, "status": {"userInfo": _info(user)}}
            case "TokenReview":
                found = self._tokens.user(spec.get("token", ""))
                return {
                    **base,
                    "status": {"authenticated": found is not None, **({"user": _info(found)} if found else {})},
                }
            case _:
                rules = {"resourceRules": [], "nonResourceRules": [], "incomplete": True}
                return {**base, "status": rules}

    def _access(self, user: User, spec: Json) -> Json:
        asked = spec.get("resourceAttributes")
        if asked is None:
            path = (spec.get("nonResourceAttributes") or {}).get("path", "")
            verb = (spec.get("nonResourceAttributes") or {}).get("verb", "get")
            why = self._authorize(user, verb, None, "", "", "", path)
        else:
            plural, group = asked.get("resource", ""), asked.get("group", "")
            known = self._registry.table.by_name(group, plural) or _unknown(group, plural)
            why = self._authorize(
                user, asked.get("verb", ""), known, asked.get("subresource", ""), asked.get("namespace", ""),
                asked.get("name", ""), "",
            )  # fmt: skip
        return {"allowed": why is None, **({"reason": why} if why else {})}


def _unknown(group: str, plural: str) -> ResourceInfo:
    return ResourceInfo(
        group=group, version="v1", plural=plural, kind=plural, singular=plural, namespaced=True, verbs=()
    )


def _info(user: User) -> Json:
    return {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}


class Authorize:
    """The authorizer behind the rule that `system:masters` may do everything."""

    def __init__(self, authorizer: Authorizer | None) -> None:
        self.authorizer = authorizer

    def __call__(
        self,
        user: User,
        verb: str,
        resource: ResourceInfo | None,
        subresource: str,
        namespace: str,
        name: str,
        path: str,
    ) -> str | None:
        """Return None when allowed, else the authorizer's text."""
        if "system:masters" in user.groups or self.authorizer is None:
            return None
        return self.authorizer.authorize(
            user, verb, resource=resource, subresource=subresource, namespace=namespace, name=name, path=path
        )
