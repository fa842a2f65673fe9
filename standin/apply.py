"""Field management: who set which field, and server-side apply.

The rules are those of `structured-merge-diff`: an update makes its manager the owner of what it changes; an apply owns
all it names, conflicts with others whose fields it would change, and removes what it named last time and no longer
does, unless another manager has it too.
"""

from typing import Any

from standin import fieldsets
from standin.errors import ApiError
from standin.fieldsets import keyed
from standin.interfaces import Json
from standin.patches import interleave
from standin.schema import Node


def _entry(manager: str, operation: str, api_version: str, now: str, tree: Json, subresource: str) -> Json:
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree,
    }
    return entry | {"subresource": subresource} if subresource else entry


def _is(entry: Json, manager: str, operation: str, subresource: str) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (
        manager,
        operation,
        subresource,
    )


def _managers(old: Json | None, new: Json) -> list[Json]:
    given = new["metadata"].get("managedFields")
    if given is None:
        given = ((old or {}).get("metadata") or {}).get("managedFields") or []
    return [entry for entry in given if entry.get("fieldsV1") is not None]


def track_update(
    old: Json | None, new: Json, schema: Node, *, manager: str, now: str, subresource: str = ""
) -> list[Json]:
    """Return `managedFields` after an update (or create) turned `old` into `new`."""
    managers = _managers(old, new)
    before, after = fieldsets.strip_unmanaged(old or {}), fieldsets.strip_unmanaged(new)
    if before == after:
        return managers
    mine = fieldsets.changed(before, after, schema)
    result: list[Json] = []
    found = False
    for entry in managers:
        tree: Json | None = entry["fieldsV1"]
        own = _is(entry, manager, "Update", subresource) and entry.get("apiVersion") == new["apiVersion"]
        if own and mine is not None:
            found = True
            tree = fieldsets.union(entry["fieldsV1"], mine) if tree else mine
        elif mine is not None and tree:
            tree = fieldsets.difference(tree, mine)
        tree = fieldsets.existing(tree, after, schema) if tree else None
        if tree == entry["fieldsV1"]:
            result.append(entry)
        elif tree is not None:
            result.append({**entry, "fieldsV1": tree, **({"time": now} if own else {})})
    if mine and not found:
        result.append(_entry(manager, "Update", new["apiVersion"], now, mine, subresource))
    return result


def apply(
    live: Json | None, config: Json, schema: Node, *, manager: str, force: bool, now: str, subresource: str = ""
) -> Json:
    """Return the object that server-side apply makes of `live` and `config`.

    Raises:
        ApiError: 409 with a `FieldManagerConflict` cause per field that another manager set otherwise.
    """
    wanted = fieldsets.strip_unmanaged(config)
    applied = fieldsets.of_value(wanted, schema)
    metadata = {key: value for key, value in config["metadata"].items() if key != "managedFields"}
    managers = list((live or {"metadata": {}})["metadata"].get("managedFields") or [])
    merged: Json = (
        {**config, "metadata": metadata} if live is None else merge(live, {**config, "metadata": metadata}, schema)
    )
    if live is not None:
        before = fieldsets.strip_unmanaged(live)
        change = fieldsets.changed(before, fieldsets.strip_unmanaged(merged), schema)
        managers = _settle(managers, change, manager, force=force, subresource=subresource)
        last = next((e["fieldsV1"] for e in managers if _is(e, manager, "Apply", subresource)), None)
        if last and (dropped := fieldsets.difference(last, applied)):
            for entry in managers:
                if dropped and not _is(entry, manager, "Apply", subresource):
                    dropped = fieldsets.difference(dropped, entry["fieldsV1"])
            if dropped:
                merged = fieldsets.without(merged, dropped, schema)
    result = []
    found = False
    for entry in managers:
        if _is(entry, manager, "Apply", subresource):
            found = True
            same = entry["fieldsV1"] == applied and entry["apiVersion"] == config["apiVersion"]
            fresh = _entry(manager, "Apply", config["apiVersion"], now, applied, subresource)
            result.append(entry if same else fresh)
        elif (tree := fieldsets.existing(entry["fieldsV1"], fieldsets.strip_unmanaged(merged), schema)) is not None:
            result.append(entry if tree == entry["fieldsV1"] else {**entry, "fieldsV1": tree})
    if not found:
        result.insert(0, _entry(manager, "Apply", config["apiVersion"], now, applied, subresource))
    return {**merged, "metadata": {**merged["metadata"], "managedFields": result}}


def _settle(managers: list[Json], change: Json | None, manager: str, *, force: bool, subresource: str) -> list[Json]:
    if change is None:
        return managers
    conflicts: list[tuple[Json, list[str]]] = []
    result = []
    for entry in managers:
        if _is(entry, manager, "Apply", subresource):
            result.append(entry)
            continue
        both = fieldsets.intersection(entry["fieldsV1"], change)
        if both is None:
            result.append(entry)
            continue
        conflicts.append((entry, list(fieldsets.paths(both))))
        left = fieldsets.difference(entry["fieldsV1"], both)
        if left is not None:
            result.append({**entry, "fieldsV1": left})
    if conflicts and not force:
        raise _conflict_error(conflicts)
    return result


def _describe(entry: Json) -> str:
    name = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        name += f' with subresource "{entry["subresource"]}"'
    if entry["operation"] == "Update":
        name += f" using {entry['apiVersion']}"
        if entry.get("time"):
            name += f" at {entry['time']}"
    return name


def _conflict_error(conflicts: list[tuple[Json, list[str]]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_describe(entry)}", "field": path}
        for entry, found in conflicts
        for path in found
    ]
    if len(causes) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        blocks = sorted(
            f"conflicts with {_describe(entry)}:\n" + "\n".join(f"- {path}" for path in found)
            for entry, found in conflicts
        )
        text = f"{len(causes)} conflicts: " + "\n".join(blocks)
    return ApiError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def merge(live: Any, config: Any, node: Node) -> Any:
    """Return `live` with `config` laid over it, list by list as the schema says."""
    if isinstance(config, dict) and isinstance(live, dict) and not node.atomic_map:
        merged = dict(live)
        for name, value in config.items():
            merged[name] = merge(live[name], value, node.field(name)) if name in live else value
        return merged
    if isinstance(config, list) and isinstance(live, list):
        ours, theirs = keyed(config, node), keyed(live, node)
        if ours is not None and theirs is not None:
            items = {
                **theirs,
                **{key: merge(theirs[key], item, node.item()) if key in theirs else item for key, item in ours.items()},
            }
            order = interleave(list(ours), [key for key in theirs if key not in ours], list(theirs))
            return [items[key] for key in order]
    return config
