"""Which resources are served: the built-in ones, and those CustomResourceDefinitions add.

The built-in table follows the discovery documents of Kubernetes 1.36.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from standin.interfaces import Json, ResourceInfo

STORED = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
WRITE_ONLY = ("create",)
CRD = "customresourcedefinitions.apiextensions.k8s.io"

# The order is the one of the recorded `/apis`.
GROUP_VERSIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("apiregistration.k8s.io", ("v1",)),
    ("apps", ("v1",)),
    ("events.k8s.io", ("v1",)),
    ("authentication.k8s.io", ("v1",)),
    ("authorization.k8s.io", ("v1",)),
    ("autoscaling", ("v2", "v1")),
    ("batch", ("v1",)),
    ("certificates.k8s.io", ("v1",)),
    ("networking.k8s.io", ("v1",)),
    ("policy", ("v1",)),
    ("rbac.authorization.k8s.io", ("v1",)),
    ("storage.k8s.io", ("v1",)),
    ("admissionregistration.k8s.io", ("v1",)),
    ("apiextensions.k8s.io", ("v1",)),
    ("scheduling.k8s.io", ("v1",)),
    ("coordination.k8s.io", ("v1",)),
    ("node.k8s.io", ("v1",)),
    ("discovery.k8s.io", ("v1",)),
    ("resource.k8s.io", ("v1",)),
    ("flowcontrol.apiserver.k8s.io", ("v1",)),
)

# group/version | Kind plural [short,names] [+category] [/subresource ...] [@cluster] [!verb: only create]
_TABLE = """
v1 Binding bindings !create
v1 ComponentStatus componentstatuses cs @cluster !get,list
v1 ConfigMap configmaps cm
v1 Endpoints endpoints ep
v1 Event events ev
v1 LimitRange limitranges limits
v1 Namespace namespaces ns @cluster /finalize /status !create,delete,get,list,patch,update,watch
v1 Node nodes no @cluster /proxy /status
v1 PersistentVolumeClaim persistentvolumeclaims pvc /status
v1 PersistentVolume persistentvolumes pv @cluster /status
v1 Pod pods po +all /attach /binding /ephemeralcontainers /eviction /exec /log /portforward /proxy /resize /status
v1 PodTemplate podtemplates
v1 ReplicationController replicationcontrollers rc +all /scale /status
v1 ResourceQuota resourcequotas quota /status
v1 Secret secrets
v1 ServiceAccount serviceaccounts sa /token
v1 Service services svc +all /proxy /status
apiregistration.k8s.io/v1 APIService apiservices +api-extensions @cluster /status
apps/v1 ControllerRevision controllerrevisions
apps/v1 DaemonSet daemonsets ds +all /status
apps/v1 Deployment deployments deploy +all /scale /status
apps/v1 ReplicaSet replicasets rs +all /scale /status
apps/v1 StatefulSet statefulsets sts +all /scale /status
authentication.k8s.io/v1 SelfSubjectReview selfsubjectreviews @cluster !create
authentication.k8s.io/v1 TokenReview tokenreviews @cluster !create
authorization.k8s.io/v1 LocalSubjectAccessReview localsubjectaccessreviews !create
authorization.k8s.io/v1 SelfSubjectAccessReview selfsubjectaccessreviews @cluster !create
authorization.k8s.io/v1 SelfSubjectRulesReview selfsubjectrulesreviews @cluster !create
authorization.k8s.io/v1 SubjectAccessReview subjectaccessreviews @cluster !create
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa +all /status
batch/v1 CronJob cronjobs cj +all /status
batch/v1 Job jobs +all /status
certificates.k8s.io/v1 CertificateSigningRequest certificatesigningrequests csr @cluster /approval /status
networking.k8s.io/v1 IngressClass ingressclasses @cluster
networking.k8s.io/v1 Ingress ingresses ing /status
networking.k8s.io/v1 NetworkPolicy networkpolicies netpol
policy/v1 PodDisruptionBudget poddisruptionbudgets pdb /status
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings @cluster
rbac.authorization.k8s.io/v1 ClusterRole clusterroles @cluster
rbac.authorization.k8s.io/v1 RoleBinding rolebindings
rbac.authorization.k8s.io/v1 Role roles
storage.k8s.io/v1 StorageClass storageclasses sc @cluster
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration mutatingwebhookconfigurations +api-extensions @cluster
admissionregistration.k8s.io/v1 MutatingAdmissionPolicy mutatingadmissionpolicies +api-extensions @cluster
admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding mutatingadmissionpolicybindings +api-extensions @cluster
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy validatingadmissionpolicies +api-extensions @cluster /status
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings +api-extensions @cluster
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration validatingwebhookconfigurations +api-extensions @cluster
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd,crds +api-extensions @cluster /status
scheduling.k8s.io/v1 PriorityClass priorityclasses pc @cluster
coordination.k8s.io/v1 Lease leases
node.k8s.io/v1 RuntimeClass runtimeclasses @cluster
discovery.k8s.io/v1 EndpointSlice endpointslices
resource.k8s.io/v1 DeviceClass deviceclasses @cluster
resource.k8s.io/v1 ResourceClaim resourceclaims /status
flowcontrol.apiserver.k8s.io/v1 FlowSchema flowschemas @cluster /status
flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration prioritylevelconfigurations @cluster /status
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """What discovery says of a subresource. `kind` empty: the parent's."""

    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


_READ_WRITE = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")
SUBRESOURCES = {
    "status": Subresource(verbs=_READ_WRITE),
    "ephemeralcontainers": Subresource(verbs=_READ_WRITE),
    "resize": Subresource(verbs=_READ_WRITE),
    "approval": Subresource(verbs=_READ_WRITE),
    "finalize": Subresource(verbs=("update",)),
    "scale": Subresource(verbs=_READ_WRITE, kind="Scale", group="autoscaling", version="v1"),
    "eviction": Subresource(verbs=WRITE_ONLY, kind="Eviction", group="policy", version="v1"),
    "token": Subresource(verbs=WRITE_ONLY, kind="TokenRequest", group="authentication.k8s.io", version="v1"),
    "binding": Subresource(verbs=WRITE_ONLY, kind="Binding"),
    "exec": Subresource(verbs=("create", "get"), kind="PodExecOptions"),
    "attach": Subresource(verbs=("create", "get"), kind="PodAttachOptions"),
    "portforward": Subresource(verbs=("create", "get"), kind="PodPortForwardOptions"),
    "log": Subresource(verbs=("get",)),
    "proxy": Subresource(verbs=_PROXY),
}


def _parse(line: str) -> ResourceInfo:
    api_version, kind, plural, *rest = line.split()
    group, _, version = api_version.rpartition("/")
    verbs: tuple[str, ...] = STORED
    short: tuple[str, ...] = ()
    categories: list[str] = []
    subresources: list[str] = []
    namespaced = True
    for word in rest:
        if word == "@cluster":
            namespaced = False
        elif word[0] == "!":
            verbs = tuple(word[1:].split(","))
        elif word[0] == "+":
            categories.append(word[1:])
        elif word[0] == "/":
            subresources.append(word[1:])
        else:
            short = tuple(word.split(","))
    return ResourceInfo(
        group=group, version=version, plural=plural, kind=kind, singular=kind.lower(), namespaced=namespaced, verbs=verbs,
        short_names=short, categories=tuple(categories), subresources=tuple(subresources),
    )  # fmt: skip


def storage_version_hash(resource: ResourceInfo) -> str:
    """Return discovery's hash of where a resource is stored (`discovery.StorageVersionHash`)."""
    text = f"{resource.group}/{resource.version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def from_crd(crd: Json) -> Iterator[tuple[ResourceInfo, Json]]:
    """Yield a resource and its OpenAPI schema for each served version of a CustomResourceDefinition, storage first."""
    spec = crd["spec"]
    names = spec["names"]
    versions: list[Json] = sorted(spec.get("versions", ()), key=lambda version: not version.get("storage"))
    for version in versions:
        if not version.get("served", True):
            continue
        yield (
            ResourceInfo(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                singular=names.get("singular") or names["kind"].lower(),
                namespaced=spec.get("scope") == "Namespaced",
                verbs=STORED,
                short_names=tuple(names.get("shortNames", ())),
                categories=tuple(names.get("categories", ())),
                subresources=tuple(sorted(version.get("subresources") or {})),
            ),
            version,
        )


class ResourceTable:
    """Looks resources up by path, by key and by kind. Not thread-safe to change: the store's lock is held then."""

    def __init__(self) -> None:
        builtin = [_parse(line) for line in _TABLE.strip().splitlines()]
        self._by_path = {(info.group, info.version, info.plural): info for info in builtin}
        self._by_key = {info.key: info for info in builtin}
        self._by_kind: dict[tuple[str, str], ResourceInfo] = {}
        self._crd_versions: dict[tuple[str, str, str], Json] = {}
        self._crds: dict[str, list[ResourceInfo]] = {}

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """Return the resource served at a path."""
        return self._by_path.get((group, version, plural))

    def by_key(self, key: str) -> ResourceInfo:
        """Return the storage version of a resource. Raises KeyError."""
        return self._by_key[key]

    def by_name(self, group: str, plural: str) -> ResourceInfo | None:
        """Return a resource in any version."""
        return next((info for info in self._by_path.values() if (info.group, info.plural) == (group, plural)), None)

    def by_kind(self, api_version: str, kind: str) -> ResourceInfo:
        """Return the resource that objects of a kind are. Raises KeyError."""
        found = self._by_kind.get((api_version, kind))
        if found is None:
            group, _, version = api_version.rpartition("/")
            listed = {info.kind: info for info in self.served(group, version)}
            found = self._by_kind[api_version, kind] = listed[kind]
        return found

    def stored(self) -> list[ResourceInfo]:
        """Return each stored resource once."""
        return [info for info in self._by_key.values() if "list" in info.verbs]

    def served(self, group: str, version: str) -> list[ResourceInfo]:
        """Return what a group version's discovery lists."""
        return [info for info in self._by_path.values() if (info.group, info.version) == (group, version)]

    def groups(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return named groups with their versions, preferred first."""
        custom: dict[str, list[str]] = {}
        for infos in self._crds.values():
            for info in infos:
                versions = custom.setdefault(info.group, [])
                if info.version not in versions:
                    versions.append(info.version)
        return [*GROUP_VERSIONS, *((group, tuple(versions)) for group, versions in custom.items())]

    def version_of_crd(self, resource: ResourceInfo) -> Json | None:
        """Return the `spec.versions` entry behind a custom resource, None for a built-in one."""
        return self._crd_versions.get((resource.group, resource.version, resource.plural))

    def custom(self, name: str) -> list[ResourceInfo]:
        """Return what a CustomResourceDefinition serves."""
        return self._crds.get(name, [])

    def replace_crd(self, crd: Json | None, name: str) -> None:
        """Serve what a CustomResourceDefinition now says; None stops serving it."""
        self._by_kind.clear()
        for info in self._crds.pop(name, ()):
            self._by_path.pop((info.group, info.version, info.plural), None)
            self._by_key.pop(info.key, None)
            self._crd_versions.pop((info.group, info.version, info.plural), None)
        if crd is None:
            return
        served: list[ResourceInfo] = []
        for info, version in from_crd(crd):
            self._by_path[info.group, info.version, info.plural] = info
            self._by_key.setdefault(info.key, info)
            self._crd_versions[info.group, info.version, info.plural] = version
            served.append(info)
        self._crds[name] = served


def api_resources(infos: Iterable[ResourceInfo]) -> list[Json]:
    """Return the `resources` of an APIResourceList, subresources beside their parents."""
    rows: list[Json] = []
    for info in sorted(infos, key=lambda info: info.plural):
        row: dict[str, Any] = {
            "name": info.plural,
            "singularName": info.singular,
            "namespaced": info.namespaced,
            "kind": info.kind,
            "verbs": list(info.verbs),
        }
        if info.short_names:
            row["shortNames"] = list(info.short_names)
        if info.categories:
            row["categories"] = list(info.categories)
        if "watch" in info.verbs:
            row["storageVersionHash"] = storage_version_hash(info)
        rows.append(row)
        for name in info.subresources:
            sub = SUBRESOURCES[name]
            kind = sub.kind or (f"{info.kind}ProxyOptions" if name == "proxy" else info.kind)
            row = {"name": f"{info.plural}/{name}", "singularName": "", "namespaced": info.namespaced, "kind": kind}
            if sub.group:
                row |= {"group": sub.group, "version": sub.version}
            row["verbs"] = list(sub.verbs)
            rows.append(row)
    return rows
