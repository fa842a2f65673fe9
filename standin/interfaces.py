"""What the parts of the stand-in promise each other.

Core (`server`, `store`, ...), admission chain, authorizer and controllers are written against these names only.

A resource is named by its key, `plural` or `plural.group`: `secrets`, `deployments.apps`.
Objects in a `Store` are shared: whoever reads one must not change it. A `Client` returns copies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from standin.errors import qualified

Json: TypeAlias = dict[str, Any]
Patch: TypeAlias = dict[str, Any] | list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceInfo:
    """One served resource (a `metav1.APIResource` with its group and version)."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`plural` or `plural.group`."""
        return qualified(self.plural, self.group)

    @property
    def api_version(self) -> str:
        """`version` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class Operation(StrEnum):
    """`admission.k8s.io/v1` operations."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """One request as admission sees it.

    `object` is None on DELETE; `old_object` is None on CREATE and CONNECT. `name` is empty while a `generateName` has
    not been resolved. `options` is the body of CreateOptions/UpdateOptions/PatchOptions/DeleteOptions, with kind.
    Admission must not change `object`; it returns another one.
    """

    user: User
    verb: str
    operation: Operation
    resource: ResourceInfo
    subresource: str
    namespace: str
    name: str
    object: Json | None
    old_object: Json | None
    dry_run: bool
    options: Json = field(default_factory=dict)


class Admitter(Protocol):
    """The admission chain. Raise `ApiError` to reject."""

    def mutate(self, attributes: Attributes) -> tuple[Json | None, list[str]]:
        """Return the object to go on with (None stays None) and warnings.

        Called outside the store's lock; the core applies defaults to the result.
        """
        ...

    def validate(self, attributes: Attributes) -> list[str]:
        """Return warnings. Called after defaulting and the core's own validation of the mutated object."""
        ...


class Authorizer(Protocol):
    """Decides who may do what."""

    def authorize(
        self,
        user: User,
        verb: str,
        *,
        resource: ResourceInfo | None,
        subresource: str,
        namespace: str,
        name: str,
        path: str,
    ) -> str | None:
        """Return None when allowed, else what is appended to the Forbidden text (empty for nothing).

        `resource` is None for a non-resource request, whose `path` then counts. `name` holds the value of a
        `fieldSelector=metadata.name=...` on list, watch and deletecollection. `system:masters` never gets here.
        """
        ...


class ChangeType(StrEnum):
    """Watch event types the store emits."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One committed write. `object` is the new state (on DELETED the last one, with the deletion's resourceVersion)."""

    type: ChangeType
    resource: ResourceInfo
    object: Json
    old_object: Json | None
    resource_version: int


class Store(Protocol):
    """Reading the store in-process; no authorization, no admission, no copies."""

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        """Return the object or None. `namespace` is empty for cluster-scoped resources."""
        ...

    def list(self, resource: str, namespace: str | None = None) -> list[Json]:
        """Return objects in the order of namespace and name; of all namespaces if it is None."""
        ...

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back for each change of any resource, in order, from the writing thread and under the store's lock.

        Do no work in it but put the change on a queue. Returns the function that unsubscribes.
        """
        ...


class Client(Protocol):
    """The API in-process, as one user: authorization skipped, admission, defaults and validation included.

    Raises `ApiError` as a request would be answered.
    """

    def get(self, resource: str, namespace: str, name: str) -> Json: ...

    def list(self, resource: str, namespace: str | None = None, label_selector: str = "") -> list[Json]: ...

    def create(self, resource: str, namespace: str, obj: Json, *, dry_run: bool = False) -> Json: ...

    def update(
        self, resource: str, namespace: str, obj: Json, *, subresource: str = "", dry_run: bool = False
    ) -> Json: ...

    def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Patch,
        *,
        patch_type: str = "application/merge-patch+json",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Json: ...

    def delete(
        self, resource: str, namespace: str, name: str, *, propagation: str = "Background", uid: str = ""
    ) -> None: ...


class Cluster(Protocol):
    """The running stand-in as its admission chain and controllers see it."""

    @property
    def store(self) -> Store: ...

    def client_as(self, user: User) -> Client: ...

    def resources(self) -> Sequence[ResourceInfo]:
        """Return all resources that are served and stored, those of CRDs included."""
        ...

    def resolve_service(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Return where a Service's port really listens. Raises LookupError if it is not bound."""
        ...


class Controllers(Protocol):
    """Background loops. `start` and `stop` may be called repeatedly; `stop` returns when all threads ended."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


AdmissionFactory: TypeAlias = Callable[[Cluster], Admitter]
AuthorizerFactory: TypeAlias = Callable[[Store], Authorizer]
ControllersFactory: TypeAlias = Callable[[Cluster], Controllers]
"""How the server makes the parts: `admission.AdmissionChain(cluster)` (exported by `standin.admission`),
`rbac.RbacAuthorizer(store)` and `controllers.ControllerManager(cluster)`.

Division of work: the core creates the `default` ServiceAccount and `kube-root-ca.crt` with a namespace, marks a deleted
namespace Terminating and refuses creation in it. `ControllerManager` empties it, then updates its `finalize`
subresource with empty `spec.finalizers`, which removes it; it also collects garbage by ownerReferences. The core
handles finalizers and deletionTimestamp, ResourceQuota of object counts, defaults and validation of each kind; the
admission chain does the ServiceAccount plugin, priority and tolerations, webhooks. `compile_errors` of webhook
configurations come from `AdmissionChain.validate`, as ApiError.
"""
