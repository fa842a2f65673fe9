"""The least an admission chain and an authorizer need of a cluster: a store that is a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from standin.interfaces import (
    Attributes,
    Change,
    Client,
    Json,
    Operation,
    ResourceInfo,
    User,
)

ADMIN = User(name="admin", groups=("system:masters", "system:authenticated"))
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def resource(plural: str, kind: str, *, group: str = "", version: str = "v1", namespaced: bool = True) -> ResourceInfo:
    """Describe a resource with all verbs."""
    return ResourceInfo(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        singular=kind.lower(),
        namespaced=namespaced,
        verbs=VERBS,
    )


PODS = resource("pods", "Pod")
NAMESPACES = resource("namespaces", "Namespace", namespaced=False)
DEPLOYMENTS = resource("deployments", "Deployment", group="apps")


class FakeStore:
    """Objects by resource key, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str, str], Json] = {}

    def put(self, key: str, obj: Json) -> None:
        """Add or replace an object."""
        metadata = obj["metadata"]
        self._objects[key, metadata.get("namespace", ""), metadata["name"]] = obj

    def remove(self, key: str, namespace: str, name: str) -> None:
        del self._objects[key, namespace, name]

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        return self._objects.get((resource, namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> list[Json]:
        return [
            obj
            for (key, where, _), obj in sorted(self._objects.items())
            if key == resource and namespace in {None, where}
        ]

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        raise AssertionError("the admission chain neither watches nor writes")


class FakeCluster:
    """A namespace `tr2` with its default ServiceAccount, and Services bound by hand."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.services: dict[tuple[str, str, int], tuple[str, int]] = {}
        self.served: list[ResourceInfo] = [PODS, NAMESPACES, DEPLOYMENTS]
        self.add_namespace("tr2")

    def add_namespace(self, name: str, **labels: str) -> None:
        """Add a namespace with its ServiceAccount."""
        all_labels = {"kubernetes.io/metadata.name": name, **labels}
        self.store.put("namespaces", {"metadata": {"name": name, "labels": all_labels}})
        self.store.put("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})

    def resources(self) -> Sequence[ResourceInfo]:
        return self.served

    def resolve_service(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        return self.services[namespace, name, port]

    def client_as(self, user: User) -> Client:
        raise AssertionError("the admission chain neither watches nor writes")


def create(
    obj: Json,
    *,
    of: ResourceInfo = PODS,
    user: User = ADMIN,
    dry_run: bool = False,
    subresource: str = "",
    namespace: str | None = None,
) -> Attributes:
    """Return the attributes of a CREATE."""
    where = obj["metadata"].get("namespace") if namespace is None else namespace
    return Attributes(
        user=user,
        verb="create",
        operation=Operation.CREATE,
        resource=of,
        subresource=subresource,
        namespace=where or ("tr2" if of.namespaced else ""),
        name=obj["metadata"].get("name", ""),
        object=obj,
        old_object=None,
        dry_run=dry_run,
        options={"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    )
