"""An object to `Workload`: where its pod spec is, who controls it, what it pulls and with which secrets."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from webhook.core.names import INJECT_KEY, MIRROR_ANNOTATION
from webhook.core.review import Json, kind_of

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


class MalformedObject(Exception):
    """An object with a field of a kind that no API server would have let in.

    Attributes:
        field: JSON pointer of the field within the object.
        problem: What was expected and which *kind* of value was found.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadKind:
    """A kind of object that holds a pod spec.

    Attributes:
        group, version, resource: As in a webhook rule. An empty version stands for any (built-in kinds, whose shape is
            the same in each version a supported API server serves).
        kind: Name for people, and how `check` finds it in a manifest. Empty for a configured kind whose name is
            not known; any kind served at that resource then fits.
        template: Path of the object that has the pod spec as its `spec`; empty for a Pod itself.
    """

    group: str
    version: str = ""
    resource: str
    kind: str = ""
    template: tuple[str, ...]


POD: Final = WorkloadKind(group="", resource="pods", kind="Pod", template=())
BUILT_IN_KINDS: Final = (
    POD,
    WorkloadKind(group="apps", resource="deployments", kind="Deployment", template=("spec", "template")),
    WorkloadKind(group="apps", resource="statefulsets", kind="StatefulSet", template=("spec", "template")),
    WorkloadKind(group="apps", resource="daemonsets", kind="DaemonSet", template=("spec", "template")),
    WorkloadKind(group="apps", resource="replicasets", kind="ReplicaSet", template=("spec", "template")),
    WorkloadKind(
        group="", resource="replicationcontrollers", kind="ReplicationController", template=("spec", "template")
    ),
    WorkloadKind(group="batch", resource="jobs", kind="Job", template=("spec", "template")),
    WorkloadKind(
        group="batch", resource="cronjobs", kind="CronJob", template=("spec", "jobTemplate", "spec", "template")
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodImage:
    """One image a pod spec names.

    Attributes:
        place: The list it stands in (`containers`, …, `volumes`).
        name: Of the container or volume.
        image: The reference as written.
        pull_policy: As written; empty if absent. `Never` never pulls.
    """

    place: str
    name: str
    image: str
    pull_policy: str = ""

    @property
    def can_be_pulled(self) -> bool:
        """Tell whether the kubelet would ever ask a registry for it."""
        return self.pull_policy != "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the decisions need of an object with a pod spec.

    Attributes:
        kind: WorkloadKind it was read as.
        name: The object's name, or its `generateName` with a `*`, for people.
        spec_path: JSON pointer tokens of the pod spec within the object.
        pull_secrets: Names listed, in order; entries without a name are left out.
        listed: Length of `imagePullSecrets` as the API server counts it, entries without a name included;
            `None` if the field is absent or null.
        service_account: Name, `default` if absent.
        controlled: Has an owner that is its controller.
        controller: Kind and name of that owner for people, `ReplicaSet web-5d9c`; empty without one.
        opted_out: Annotated so, on itself or on its pod template.
        template: The pod template as it came, to compare with another; the pod spec alone for a Pod.
    """

    kind: WorkloadKind
    name: str
    spec_path: tuple[str, ...]
    images: tuple[PodImage, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    listed: int | None = None
    service_account: str = "default"
    controlled: bool = False
    controller: str = ""
    mirror: bool = False
    opted_out: bool = False
    template: Json = field(default_factory=dict, repr=False)

    @property
    def is_pod(self) -> bool:
        """Tell a Pod from a template of Pods."""
        return not self.kind.template


def find_kind(kinds: Iterable[WorkloadKind], *, group: str, version: str, resource: str) -> WorkloadKind | None:
    """Find the workload kind served at a group, version and resource."""
    for kind in kinds:
        if kind.resource == resource and kind.group == group and kind.version in ("", version):
            return kind
    return None


def read(kind: WorkloadKind, obj: Json) -> Workload:
    """Read an object of a workload kind.

    Raises:
        MalformedObject: A field on the way has a kind the API does not allow.
    """
    reader = _Reader()
    metadata = reader.mapping(obj, "metadata", ())
    template = reader.descend(obj, kind.template)
    template_metadata = reader.mapping(template, "metadata", kind.template) if kind.template else metadata
    spec_path = (*kind.template, "spec")
    spec = reader.mapping(template, "spec", kind.template)
    secrets = reader.entries(spec, "imagePullSecrets", spec_path)
    controller = _controller(reader, metadata)
    annotations = reader.mapping(metadata, "annotations", ("metadata",))
    template_annotations = reader.mapping(template_metadata, "annotations", (*kind.template, "metadata"))
    return Workload(
        kind=kind,
        name=_display_name(reader, metadata),
        spec_path=spec_path,
        images=tuple(_images(reader, spec, spec_path)),
        pull_secrets=tuple(name for entry, where in secrets or () if (name := reader.text(entry, "name", where))),
        listed=None if secrets is None else len(secrets),
        service_account=(
            reader.text(spec, "serviceAccountName", spec_path)
            or reader.text(spec, "serviceAccount", spec_path)
            or "default"
        ),
        controlled=bool(controller),
        controller=controller,
        mirror=MIRROR_ANNOTATION in annotations,
        opted_out="false" in (annotations.get(INJECT_KEY), template_annotations.get(INJECT_KEY)),
        template=template if kind.template else spec,
    )


def _display_name(reader: "_Reader", metadata: Json) -> str:
    if name := reader.text(metadata, "name", ("metadata",)):
        return name
    prefix = reader.text(metadata, "generateName", ("metadata",))
    return f"{prefix}*" if prefix else ""


def _controller(reader: "_Reader", metadata: Json) -> str:
    for owner, where in reader.entries(metadata, "ownerReferences", ("metadata",)) or ():
        if owner.get("controller") is True:
            return f"{reader.text(owner, 'kind', where)} {reader.text(owner, 'name', where)}"
    return ""


def _images(reader: "_Reader", spec: Json, path: tuple[str, ...]) -> Iterator[PodImage]:
    for place in _CONTAINER_LISTS:
        for container, where in reader.entries(spec, place, path) or ():
            if image := reader.text(container, "image", where):
                yield PodImage(
                    place=place,
                    name=reader.text(container, "name", where),
                    image=image,
                    pull_policy=reader.text(container, "imagePullPolicy", where),
                )
    for volume, where in reader.entries(spec, "volumes", path) or ():
        source = reader.mapping(volume, "image", where)
        if image := reader.text(source, "reference", (*where, "image")):
            yield PodImage(
                place="volumes",
                name=reader.text(volume, "name", where),
                image=image,
                pull_policy=reader.text(source, "pullPolicy", (*where, "image")),
            )


class _Reader:
    """Reads fields of JSON objects as Go's decoder would: null is absent, any other kind than asked is a fault."""

    def descend(self, obj: Json, path: tuple[str, ...]) -> Json:
        for depth, token in enumerate(path):
            obj = self.mapping(obj, token, path[:depth])
        return obj

    def mapping(self, holder: Json, name: str, path: tuple[str, ...]) -> Json:
        value = holder.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _fault((*path, name), "an object", value)
        return value

    def text(self, holder: Json, name: str, path: tuple[str, ...]) -> str:
        value = holder.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _fault((*path, name), "a string", value)
        return value

    def entries(self, holder: Json, name: str, path: tuple[str, ...]) -> Sequence[tuple[Json, tuple[str, ...]]] | None:
        value = holder.get(name)
        if not value:
            if value is None:
                return None
            if value == []:
                return ()
        if not isinstance(value, list):
            raise _fault((*path, name), "an array", value)
        found = []
        for index, entry in enumerate(value):
            where = (*path, name, str(index))
            # A null entry decodes to an entry without content.
            if not isinstance(entry, dict | None):
                raise _fault(where, "an object", entry)
            found.append((entry or {}, where))
        return found


def _fault(path: tuple[str, ...], expected: str, value: Any) -> MalformedObject:
    return MalformedObject(f"/{'/'.join(path)}", f"expected {expected}, got {kind_of(value)}")
