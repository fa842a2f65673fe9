"""Workloads read from objects: pod spec, owner, images and pull secrets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from webhook.core.names import INJECT_KEY, MIRROR_ANNOTATION
from webhook.core.review import Json, kind_of

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


MAX_ENTRIES: Final = 10_000
"""Longest list that is read of an object. The API server bounds only the bytes of a request (3 MiB), and a Pod of one
node has a few dozen containers, volumes and pull secrets at most."""


class MalformedObject(Exception):
    """An object with a field of a kind that no API server would have admitted, or with a list too long to be read.

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

    @property
    def configured(self) -> bool:
        """Tell a further kind, which an administrator has configured, from a built-in one."""
        return bool(self.version)


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
        """Return whether the kubelet would ever ask a registry for it."""
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
        mirror: The API server's image of a static Pod, made by a kubelet.
        opted_out: Annotated so, on itself or on its pod template.
        unknown_inject: Annotated with a value that means nothing.
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
    unknown_inject: bool = False
    template: Json = field(default_factory=dict, repr=False)

    @property
    def pulled(self) -> frozenset[str]:
        """The images the kubelet would ask a registry for; one that only `Never` is said of is not among them."""
        return frozenset(image.image for image in self.images if image.can_be_pulled)

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
        MalformedObject: A field on the way has a kind the API does not allow, or a list more than `MAX_ENTRIES`.
    """
    reader = _Reader()
    metadata = reader.mapping(obj, "metadata", ())
    template, where = reader.descend(obj, kind.template)
    template_metadata = reader.mapping(template, "metadata", where) if kind.template else metadata
    spec = reader.mapping(template, "spec", where)
    in_spec = (where, "spec")
    secrets = reader.array(spec, "imagePullSecrets", in_spec)
    controller = _controller(reader, metadata)
    annotations = reader.mapping(metadata, "annotations", _METADATA)
    template_annotations = reader.mapping(template_metadata, "annotations", (where, "metadata"))
    inject = (annotations.get(INJECT_KEY), template_annotations.get(INJECT_KEY))
    return Workload(
        kind=kind,
        name=_display_name(reader, metadata),
        spec_path=(*kind.template, "spec"),
        images=tuple(_images(reader, spec, in_spec)),
        pull_secrets=tuple(
            name
            for entry, at in reader.each(spec, "imagePullSecrets", in_spec)
            if (name := reader.text(entry, "name", at))
        ),
        listed=None if secrets is None else len(secrets),
        service_account=(
            reader.text(spec, "serviceAccountName", in_spec)
            or reader.text(spec, "serviceAccount", in_spec)
            or "default"
        ),
        controlled=bool(controller),
        controller=controller,
        # On anything but a Pod it is a user's own annotation, which would be a way past us.
        mirror=not kind.template and MIRROR_ANNOTATION in annotations,
        opted_out="false" in inject,
        unknown_inject=any(value not in (None, "true", "false") for value in inject),
        template=template if kind.template else spec,
    )


_Where = tuple[Any, ...]
"""A place in an object: `()` for the object itself, else the holder's place and a name or index. Text for faults."""

_METADATA: Final[_Where] = ((), "metadata")


def _display_name(reader: "_Reader", metadata: Json) -> str:
    if name := reader.text(metadata, "name", _METADATA):
        return name
    prefix = reader.text(metadata, "generateName", _METADATA)
    return f"{prefix}*" if prefix else ""


def _controller(reader: "_Reader", metadata: Json) -> str:
    for owner, where in reader.each(metadata, "ownerReferences", _METADATA):
        if owner.get("controller") is True:
            return f"{reader.text(owner, 'kind', where)} {reader.text(owner, 'name', where)}"
    return ""


def _images(reader: "_Reader", spec: Json, in_spec: _Where) -> Iterator[PodImage]:
    for place in _CONTAINER_LISTS:
        for container, where in reader.each(spec, place, in_spec):
            if image := reader.text(container, "image", where):
                yield PodImage(
                    place=place,
                    name=reader.text(container, "name", where),
                    image=image,
                    pull_policy=reader.text(container, "imagePullPolicy", where),
                )
    for volume, where in reader.each(spec, "volumes", in_spec):
        source = reader.mapping(volume, "image", where)
        if image := reader.text(source, "reference", (where, "image")):
            yield PodImage(
                place="volumes",
                name=reader.text(volume, "name", where),
                image=image,
                pull_policy=reader.text(source, "pullPolicy", (where, "image")),
            )


class _Reader:
    """Reads fields of JSON objects as Go's decoder would: null is absent, any other kind than asked is a fault."""

    def descend(self, obj: Json, path: tuple[str, ...]) -> tuple[Json, _Where]:
        where: _Where = ()
        for token in path:
            obj = self.mapping(obj, token, where)
            where = (where, token)
        return obj, where

    def mapping(self, holder: Json, name: str, where: _Where) -> Json:
        value = holder.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _fault((where, name), "an object", value)
        return value

    def text(self, holder: Json, name: str, where: _Where) -> str:
        value = holder.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _fault((where, name), "a string", value)
        return value

    def array(self, holder: Json, name: str, where: _Where) -> list[Any] | None:
        value = holder.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise _fault((where, name), "an array", value)
        if len(value) > MAX_ENTRIES:
            raise MalformedObject(
                _pointer((where, name)), f"holds {len(value)} entries; no more than {MAX_ENTRIES} are read"
            )
        return value

    def each(self, holder: Json, name: str, where: _Where) -> Iterator[tuple[Json, _Where]]:
        at = (where, name)
        for index, entry in enumerate(self.array(holder, name, where) or ()):
            # A null entry decodes to an entry without content.
            if not isinstance(entry, dict | None):
                raise _fault((at, index), "an object", entry)
            yield entry or {}, (at, index)


def _pointer(where: _Where) -> str:
    tokens: list[str] = []
    while where:
        where, token = where
        tokens.append(str(token))
    return "".join(f"/{token}" for token in reversed(tokens))


def _fault(where: _Where, expected: str, value: Any) -> MalformedObject:
    return MalformedObject(_pointer(where), f"expected {expected}, got {kind_of(value)}")
