"""Workloads read from objects: pod specs, owner, images and pull secrets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from webhook.core import images
from webhook.core.display import dotted, pointer
from webhook.core.kinds import EACH_ENTRY, EACH_VALUE, TemplatePath, WorkloadKind
from webhook.core.names import INJECT_KEY, MIRROR_ANNOTATION
from webhook.core.review import Json, kind_of

CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
"""The lists of a pod spec that hold containers; what runs first is first."""


MAX_ENTRIES: Final = 10_000
"""Longest list that is read of an object. The API server bounds only the bytes of a request (3 MiB), and a Pod of one
node has a few dozen containers, volumes and pull secrets at most."""

MAX_TEMPLATES: Final = 128
"""Most pod templates that are read of one object. A RayCluster has a handful of worker groups. Each template may lead
to a read of its ServiceAccount, and the chart's matchConditions look each up among what was there before."""


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

    @property
    def repository(self) -> str:
        """Its normalised name with registry; empty if no kubelet could parse it: it is never pulled."""
        try:
            return images.parse(self.image).repository
        except images.InvalidReference:
            return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the decisions need of an object with a pod spec; of one with several, what they need of one of them.

    Attributes:
        kind: WorkloadKind it was read as.
        name: The object's name, or its `generateName` with a `*`, for people.
        path: Of the kind's templates, the one that led to this.
        spec_path: Tokens of the pod spec within the object; a number in a list.
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
    path: TemplatePath = ()
    spec_path: tuple[str | int, ...]
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
        """Return whether it is a Pod, and no template of Pods."""
        return self.kind.is_pod

    @property
    def place(self) -> str:
        """Say which of several pod templates it is, as `spec.workerGroupSpecs[0].template`; empty for the only one."""
        return dotted(self.spec_path[:-1]) if self.kind.several else ""


def read(kind: WorkloadKind, obj: Json) -> Workload:
    """Read an object of a kind that has one pod spec; see `read_all`."""
    return read_all(kind, obj)[0]


def read_all(kind: WorkloadKind, obj: Json, *, templates: bool = True) -> tuple[Workload, ...]:
    """Read every pod spec of an object, in the order of the kind's paths and of the object.

    Args:
        kind: What it was sent as.
        obj: The object.
        templates: Keep each pod template as it came; without, nothing of the object is kept.

    A path, or a part of one, that is not there leads to nothing (of a path without `[]` and `*`: to a pod spec without
    anything in it).

    Raises:
        MalformedObject: A field on the way has a kind the API does not allow (no list where the path has `[]`, no map
            where it has `*`), a list more than `MAX_ENTRIES`, or the object more than `MAX_TEMPLATES` pod templates.
    """
    reader = _Reader()
    metadata = reader.mapping(obj, "metadata", ())
    owner = _Owner(
        kind=kind,
        name=_display_name(reader, metadata),
        controller=_controller(reader, metadata),
        annotations=reader.mapping(metadata, "annotations", _METADATA),
    )
    found: list[Workload] = []
    for path in kind.templates:
        for template, where in reader.templates(obj, path):
            if len(found) == MAX_TEMPLATES:
                problem = f"is one pod template more than the {MAX_TEMPLATES} that are read of one object"
                raise MalformedObject(_pointer(where), problem)
            found.append(_read(reader, owner, path, template, where, keep=templates))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """What all pod specs of one object have in common."""

    kind: WorkloadKind
    name: str
    controller: str
    annotations: Json


def _read(
    reader: "_Reader", owner: _Owner, path: TemplatePath, template: Json, where: "_Where", *, keep: bool
) -> Workload:
    spec = reader.mapping(template, "spec", where)
    in_spec = (where, "spec")
    secrets = reader.array(spec, "imagePullSecrets", in_spec)
    own = {}
    if path:
        own = reader.mapping(reader.mapping(template, "metadata", where), "annotations", (where, "metadata"))
    inject = (owner.annotations.get(INJECT_KEY), own.get(INJECT_KEY))
    return Workload(
        kind=owner.kind,
        name=owner.name,
        path=path,
        spec_path=_tokens(in_spec),
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
        controlled=bool(owner.controller),
        controller=owner.controller,
        # On anything but a Pod it is a user's own annotation, which would be a way past us.
        mirror=owner.kind.is_pod and MIRROR_ANNOTATION in owner.annotations,
        opted_out="false" in inject,
        unknown_inject=any(value not in (None, "true", "false") for value in inject),
        template={} if not keep else template if path else spec,
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
    for place in CONTAINER_LISTS:
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

    def templates(self, obj: Json, path: TemplatePath, where: _Where = ()) -> Iterator[tuple[Json, _Where]]:
        """Yield what a path leads to, with its place."""
        for index, token in enumerate(path):
            after = path[index + 1 :]
            following = after[0] if after else ""
            if following == EACH_ENTRY:
                for entry, at in self.each(obj, token, where):
                    yield from self.templates(entry, after[1:], at)
                return
            obj, where = self.mapping(obj, token, where), (where, token)
            if following == EACH_VALUE:
                for name in obj:
                    yield from self.templates(self.mapping(obj, name, where), after[1:], (where, name))
                return
        yield obj, where

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


def _tokens(where: _Where) -> tuple[str | int, ...]:
    tokens: list[str | int] = []
    while where:
        where, token = where
        tokens.append(token)
    return tuple(reversed(tokens))


def _pointer(where: _Where) -> str:
    return pointer(_tokens(where))


def _fault(where: _Where, expected: str, value: Any) -> MalformedObject:
    return MalformedObject(_pointer(where), f"expected {expected}, got {kind_of(value)}")
