"""The object that a policy is given as `params`, and what stands for it where there is none."""

from __future__ import annotations

from standin.interfaces import Attributes, Cluster, Json

STORED = {("v1", "Secret"): "secrets", ("v1", "ConfigMap"): "configmaps"}
"""Kinds of parameter the stand-in knows, and where they are."""

NOT_FOUND = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"


class Missing(Exception):
    """There is no such object; `denies` says what the binding makes of that."""

    def __init__(self, *, denies: bool) -> None:
        super().__init__(NOT_FOUND)
        self.denies = denies


def of(cluster: Cluster, policy: Json, binding: Json, attributes: Attributes) -> Json | None:
    """Return the parameter of a policy's and a binding's specs for a request; `None` if they ask for none.

    Raises:
        Missing: It is asked for, and not there.
    """
    kind, ref = policy.get("paramKind"), binding.get("paramRef")
    if not kind or not ref:
        return None
    found: Json | None = cluster.store.get(
        STORED[kind["apiVersion"], kind["kind"]], ref.get("namespace") or attributes.namespace, ref["name"]
    )
    if found is None:
        raise Missing(denies=ref.get("parameterNotFoundAction") == "Deny")
    # As the API server's informers have it: who wrote which field is cut off.
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}
