"""From method and URL to what is asked: resource, namespace, name, subresource, verb."""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from standin.interfaces import ResourceInfo
from standin.resources import ResourceTable

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_TRUE = frozenset({"1", "true", "True", "t", "T", "TRUE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request is about. `resource` is None for a path that is no resource's."""

    path: str
    query: dict[str, str]
    verb: str
    resource: ResourceInfo | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def flag(self, name: str) -> bool:
        """Return a boolean of the query."""
        return self.query.get(name, "") in _TRUE


def query_of(text: str) -> dict[str, str]:
    """Return the first value of each parameter."""
    if not text:
        return {}
    return {key: values[0] for key, values in parse_qs(text, keep_blank_values=True).items()}


def route(method: str, target: str, table: ResourceTable) -> Route:
    """Parse a request line's target."""
    path, _, query_text = target.partition("?")
    query = query_of(query_text)
    parts = [unquote(part) for part in path.strip("/").split("/")]
    other = Route(
        path=path, query=query, verb={"GET": "get", "HEAD": "get"}.get(method, _WRITES.get(method, method.lower()))
    )
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return other
    namespace = ""
    # `/namespaces/x/finalize` and `/status` are subresources of the namespace, not resources in it.
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"finalize", "status"}:
        namespace, rest = rest[1], rest[2:]
    resource = table.find(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced):
        return other
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    if subresource and subresource.partition("/")[0] not in resource.subresources:
        return other
    return Route(
        path=path, query=query, verb=_verb(method, name, query), resource=resource, namespace=namespace, name=name,
        subresource=subresource.partition("/")[0],
    )  # fmt: skip


def _verb(method: str, name: str, query: dict[str, str]) -> str:
    if method in {"GET", "HEAD"}:
        if query.get("watch", "") in _TRUE:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _WRITES.get(method, method.lower())
