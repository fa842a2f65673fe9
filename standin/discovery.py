"""Paths that are no resource's: health, version, discovery, and as much OpenAPI as kubectl asks for."""

from collections.abc import Mapping

import orjson

from standin.interfaces import Json, ResourceInfo
from standin.resources import ResourceTable, api_resources

# The recorded server's answer: clients adapt to the version.
VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "8e16b12fda5b1dccc41a6de48b3e356cc7d5048b",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def api_versions(address: str) -> Json:
    """Return `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group(name: str, versions: tuple[str, ...]) -> Json:
    """Return one API group."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(table: ResourceTable) -> Json:
    """Return `/apis`."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [group(name, versions) for name, versions in table.groups()],
    }


def resource_list(table: ResourceTable, group_name: str, version: str) -> Json:
    """Return `/api/v1` or `/apis/GROUP/VERSION`."""
    rows = api_resources(table.served(group_name, version))
    if not group_name:
        return {"kind": "APIResourceList", "groupVersion": version, "resources": rows}
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}",
        "resources": rows,
    }


def aggregated(table: ResourceTable, groups: list[tuple[str, tuple[str, ...]]]) -> Json:
    """Return the aggregated discovery of groups (`apidiscovery.k8s.io/v2`): kubectl then needs two requests, not twenty."""
    items = []
    for name, versions in groups:
        listed = [
            {
                "version": version,
                "freshness": "Current",
                "resources": _aggregated_resources(table.served(name, version), name, version),
            }
            for version in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resources(infos: list[ResourceInfo], group_name: str, version: str) -> list[Json]:
    found: dict[str, Json] = {}
    for row in api_resources(infos):
        kind = {"group": row.get("group", group_name), "version": row.get("version", version), "kind": row["kind"]}
        plural, _, subresource = row["name"].partition("/")
        if subresource:
            entry = {"subresource": subresource, "responseKind": kind, "verbs": row["verbs"]}
            found[plural].setdefault("subresources", []).append(entry)
            continue
        entry = {
            "resource": plural,
            "responseKind": kind,
            "scope": "Namespaced" if row["namespaced"] else "Cluster",
            "singularResource": row["singularName"],
            "verbs": row["verbs"],
        }
        for key in ("shortNames", "categories"):
            if key in row:
                entry[key] = row[key]
        found[plural] = entry
    return list(found.values())


def openapi_index(table: ResourceTable) -> Json:
    """Return `/openapi/v3`."""
    paths = ["api/v1", *(f"apis/{name}/{version}" for name, versions in table.groups() for version in versions)]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def openapi(table: ResourceTable, group_name: str, version: str) -> Json:
    """Return one group version's OpenAPI: no schemas, but that PATCH knows `fieldValidation`.

    This is what kubectl looks for before it leaves the validation of manifests to the server. Without schemas it takes
    the merge keys of built-in kinds from its own types.
    """
    paths: Json = {}
    prefix = f"/apis/{group_name}/{version}" if group_name else f"/api/{version}"
    for info in table.served(group_name, version):
        scope = "/namespaces/{namespace}" if info.namespaced else ""
        kind = {"group": group_name, "version": version, "kind": info.kind}
        paths[f"{prefix}{scope}/{info.plural}/{{name}}"] = {
            "patch": {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": kind,
                "parameters": [
                    {"name": name, "in": "query", "schema": {"type": "string"}}
                    for name in ("dryRun", "fieldValidation")
                ],
                "responses": {"200": {"description": "OK"}},
            }
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": {}},
    }


def answer(path: str, headers: Mapping[str, str], table: ResourceTable) -> tuple[str, bytes] | None:
    """Return content type and body of a path, None if nothing is there."""
    path = path.rstrip("/") or "/"
    if path in _HEALTH:
        return TEXT, b"ok"
    if path in {"/api", "/apis"} and "as=APIGroupDiscoveryList" in headers.get("accept", ""):
        core: list[tuple[str, tuple[str, ...]]] = [("", ("v1",))]
        return AGGREGATED, orjson.dumps(aggregated(table, table.groups() if path == "/apis" else core))
    document = _document(path, headers.get("host", ""), table)
    return None if document is None else (JSON, orjson.dumps(document))


def _document(path: str, address: str, table: ResourceTable) -> Json | None:
    match path:
        case "/version":
            return VERSION
        case "/api":
            return api_versions(address)
        case "/apis":
            return group_list(table)
        case "/openapi/v3":
            return openapi_index(table)
        case _:
            return _group_document(path, table)


def _group_document(path: str, table: ResourceTable) -> Json | None:
    versions: dict[str, tuple[str, ...]] = {"": ("v1",), **dict(table.groups())}
    match path.removeprefix("/openapi/v3").strip("/").split("/"):
        case ["api", version]:
            name = ""
        case ["apis", name, version]:
            pass
        case ["apis", name] if name in versions:
            return {"kind": "APIGroup", "apiVersion": "v1", **group(name, versions[name])}
        case _:
            return None
    if version not in versions.get(name, ()):
        return None
    return openapi(table, name, version) if path.startswith("/openapi") else resource_list(table, name, version)
