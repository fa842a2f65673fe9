"""How the lists and maps of each kind merge, and which fields it has.

Built-in kinds: the OpenAPI definitions of Kubernetes that the `kubernetes-validate` distribution carries, with their
`x-kubernetes-*` extensions. Custom kinds: the schema in their CustomResourceDefinition.
"""

import functools
import threading
from importlib import resources

import orjson

from standin.interfaces import Json, ResourceInfo

KUBERNETES_VERSION = "v1.36.0"
_ATOMIC = "atomic"


class Node:
    """One place in a schema. `Node({})` knows nothing: any field, lists atomic, maps granular."""

    __slots__ = ("_children", "_definitions", "_item", "_raw", "fields", "types")

    def __init__(self, raw: Json, definitions: Json | None = None) -> None:
        self._definitions = definitions or {}
        reference = raw.get("$ref")
        if reference:
            raw = {**self._definitions[reference.rpartition("/")[2]], **raw}
        self._raw = raw
        self._children: dict[str, Node] = {}
        self._item: Node | None = None
        properties = raw.get("properties")
        free = raw.get("x-kubernetes-preserve-unknown-fields") or raw.get("additionalProperties")
        # The known fields, None where any is allowed.
        self.fields = frozenset(properties) if properties and not free else None
        found = raw.get("type") or ()
        # The JSON types allowed, empty for any.
        self.types: tuple[str, ...] = (found,) if isinstance(found, str) else tuple(found)

    def field(self, name: str) -> "Node":
        """Return the schema of a field or map value."""
        node = self._children.get(name)
        if node is None:
            raw = (self._raw.get("properties") or {}).get(name)
            if raw is None:
                extra = self._raw.get("additionalProperties")
                raw = extra if isinstance(extra, dict) else {}
            node = self._children[name] = Node(raw, self._definitions)
        return node

    def item(self) -> "Node":
        """Return the schema of a list's items."""
        if self._item is None:
            self._item = Node(self._raw.get("items") or {}, self._definitions)
        return self._item

    @property
    def atomic_map(self) -> bool:
        """Whether server-side apply owns an object here as one."""
        return self._raw.get("x-kubernetes-map-type") == _ATOMIC

    @property
    def list_type(self) -> str:
        """`atomic`, `set` or `map`."""
        return str(self._raw.get("x-kubernetes-list-type") or _ATOMIC)

    @property
    def list_keys(self) -> tuple[str, ...]:
        """The keys of a list of type `map`."""
        return tuple(self._raw.get("x-kubernetes-list-map-keys") or ())

    @property
    def merge_key(self) -> str:
        """The strategic merge key of a list, empty if the list is replaced or holds scalars."""
        return str(self._raw.get("x-kubernetes-patch-merge-key") or "")

    @property
    def strategies(self) -> tuple[str, ...]:
        """`merge`, `replace`, `retainKeys`."""
        return tuple(str(self._raw.get("x-kubernetes-patch-strategy") or "").split(","))

    @property
    def required(self) -> tuple[str, ...]:
        """Fields that must be there: never left out when empty."""
        return tuple(self._raw.get("required") or ())

    @property
    def is_map(self) -> bool:
        """Whether objects here map free keys to values of one type."""
        return bool(self._raw.get("additionalProperties"))

    @property
    def is_struct(self) -> bool:
        """Whether objects here have fixed fields, other than a map."""
        return bool(self._raw.get("properties"))


# Defaults of list keys; the definitions carry no defaults.
KEY_DEFAULTS = {"protocol": "TCP", "name": ""}


UNKNOWN = Node({})


@functools.cache
def _definitions() -> Json:
    root = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"{KUBERNETES_VERSION}-local"
    loaded: Json = orjson.loads((root / "_definitions.json").read_bytes())["$defs"]
    return loaded


@functools.cache
def _names() -> dict[tuple[str, str, str], str]:
    names: dict[tuple[str, str, str], str] = {}
    for name, definition in _definitions().items():
        for gvk in definition.get("x-kubernetes-group-version-kind") or ():
            names.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)
    return names


class Schemas:
    """Schema roots by kind, each read once."""

    def __init__(self) -> None:
        self._roots: dict[tuple[str, str, str], Node] = {}
        self._lock = threading.Lock()

    def of(self, group: str, version: str, kind: str) -> Node:
        """Return the root of a built-in or registered kind, `UNKNOWN` for another."""
        key = (group, version, kind)
        node = self._roots.get(key)
        if node is None:
            with self._lock:
                name = _names().get(key)
                node = self._roots[key] = Node({"$ref": name}, _definitions()) if name else UNKNOWN
        return node

    def register(self, resource: ResourceInfo, crd_version: Json) -> None:
        """Use the schema of a CustomResourceDefinition's version for its kind."""
        raw = dict((crd_version.get("schema") or {}).get("openAPIV3Schema") or {})
        meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        if raw.get("properties"):
            raw["properties"] = {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                **raw["properties"],
                "metadata": {"$ref": meta},
            }
        else:
            raw = {"properties": {"metadata": {"$ref": meta}}, "x-kubernetes-preserve-unknown-fields": True}
        self._roots[resource.group, resource.version, resource.kind] = Node(raw, _definitions())
