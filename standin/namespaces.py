"""The NamespaceLifecycle admission plugin, and what a new namespace comes with."""

from standin import errors
from standin.interfaces import Json, ResourceInfo, User
from standin.store import MemoryStore

PROTECTED = frozenset({"default", "kube-system", "kube-public"})
CONTROLLER = User(
    name="system:serviceaccount:kube-system:service-account-controller",
    groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
DELETING = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)


def check_create(store: MemoryStore, resource: ResourceInfo, namespace: str, name: str) -> None:
    """Refuse to create in a namespace that is missing (404) or being deleted (403 with a cause)."""
    if not namespace:
        return
    found = store.get("namespaces", "", namespace)
    if found is None:
        raise errors.not_found("namespaces", "", namespace)
    if found["metadata"].get("deletionTimestamp"):
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise errors.forbidden(resource.plural, resource.group, name, why, [cause])


def check_delete(namespace: Json) -> None:
    """Refuse to delete a namespace the system needs (403), or one that is being deleted (409)."""
    name = namespace["metadata"]["name"]
    if name in PROTECTED:
        raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")
    if namespace["metadata"].get("deletionTimestamp"):
        raise errors.conflict("namespaces", "", name, DELETING)


def contents(namespace: str, root_ca: str) -> list[tuple[str, Json]]:
    """Return (resource, object) of what controllers put into every new namespace."""
    return [
        (
            "serviceaccounts",
            {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": namespace}},
        ),
        (
            "configmaps",
            {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {"name": "kube-root-ca.crt", "namespace": namespace},
                "data": {"ca.crt": root_ca},
            },
        ),
    ]
