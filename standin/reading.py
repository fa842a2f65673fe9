"""Answers get, list and watch requests."""

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from standin import errors, selectors, tables
from standin.connection import CutConnection, Silence
from standin.errors import ApiError
from standin.faults import Faults, RequestInfo
from standin.interfaces import Json, ResourceInfo
from standin.resources import ResourceTable
from standin.routing import Route
from standin.store import MemoryStore, Record
from standin.watch import BOOKMARK_PERIOD_S, Stream, WatchRequest, error_frame

# The API server draws a time-out between half an hour and an hour for watches that name none.
DEFAULT_WATCH_S = 1800.0


def continue_token(revision: int, last: Json, namespace: str) -> str:
    """Return the token of the page that begins after an object, in the API server's own form."""
    metadata = last["metadata"]
    whole = metadata.get("namespace") and not namespace
    start = f"{metadata['namespace']}/{metadata['name']}" if whole else metadata["name"]
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start + "\0"})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _parse_continue(token: str, namespace: str | None) -> tuple[int, tuple[str, str]]:
    try:
        raw = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start = str(raw["start"]).rstrip("\0").lstrip("/")
        revision = int(raw["rv"])
    except (ValueError, KeyError, TypeError) as fault:
        raise errors.bad_request("continue key is not valid") from fault
    space, slash, name = start.rpartition("/")
    return revision, (space if slash else namespace or "", name)


class ObjectReader:
    """Reads from the store for requests.

    Attributes:
        bookmark_period_s: Seconds between the bookmarks of a watch.
    """

    def __init__(self, store: MemoryStore, table: ResourceTable, faults: Faults) -> None:
        self._store = store
        self._table = table
        self._faults = faults
        self.bookmark_period_s = BOOKMARK_PERIOD_S

    def get(self, resource: ResourceInfo, namespace: str, name: str) -> Record:
        """Return one object. Raises ApiError(404)."""
        record = self._store.record(resource.key, namespace, name)
        if record is None:
            raise errors.not_found(resource.plural, resource.group, name)
        return _served_as(record, resource)

    def get_rendered(self, route: Route, resource: ResourceInfo, accept: str) -> bytes:
        """Answer a get request."""
        record = self.get(resource, route.namespace, route.name)
        if "as=Table" in accept:
            metadata = {"resourceVersion": record.obj["metadata"]["resourceVersion"]}
            return orjson.dumps(self._table_of(route, resource, [record.obj], metadata))
        if "as=PartialObjectMetadataList" in accept.partition(",")[0]:
            raise errors.not_acceptable()
        if "as=PartialObjectMetadata" in accept:
            return orjson.dumps(_partial(record.obj))
        return record.raw

    def predicate(self, route: Route, resource: ResourceInfo) -> selectors.Predicate | None:
        """Return what the request's selectors (and the name in its URL) select."""
        terms = selectors.field_terms(route.query.get("fieldSelector", ""))
        if route.name:
            terms.append(("metadata.name", True, route.name))
        return selectors.both(selectors.fields(resource, terms), selectors.labels(route.query.get("labelSelector", "")))

    def list(self, route: Route, resource: ResourceInfo, accept: str) -> bytes:
        """Answer a list request. Raises ApiError."""
        matches = self.predicate(route, resource)
        self._check_version(route.query.get("resourceVersion", ""))
        namespace = route.namespace or None
        records, revision = self._store.records(resource.key, namespace)
        token = route.query.get("continue", "")
        if token:
            revision, after = _parse_continue(token, namespace)
            if self._store.continue_is_stale(revision):
                raise errors.gone(
                    "The provided continue parameter is too old to display a consistent list result. You can start a "
                    "new list without the continue parameter, or use the continue token in this response to retrieve "
                    "the remainder of the results."
                )
            records = [record for record in records if _place(record.obj) > after]
        found = records if matches is None else [record for record in records if matches(record.obj)]
        metadata: Json = {"resourceVersion": str(revision)}
        limit = int(route.query.get("limit") or 0)
        if limit and len(found) > limit:
            metadata["continue"] = continue_token(revision, found[limit - 1].obj, route.namespace)
            # Not known with selectors: what they leave of the rest would have to be read.
            if matches is None:
                metadata["remainingItemCount"] = len(found) - limit
            found = found[:limit]
        objects = [_served_as(record, resource).obj for record in found]
        if "as=Table" in accept:
            return orjson.dumps(self._table_of(route, resource, objects, metadata))
        if "as=PartialObjectMetadata" in accept:
            return orjson.dumps(
                {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata,
                    "items": [_partial(obj) for obj in objects],
                }
            )
        return orjson.dumps(self.as_list(resource, objects, metadata))

    def as_list(self, resource: ResourceInfo, objects: Sequence[Json], metadata: Json) -> Json:
        """Return a List object; items of built-in kinds carry no kind."""
        if self._table.version_of_crd(resource) is None:
            objects = [{k: v for k, v in obj.items() if k not in {"kind", "apiVersion"}} for obj in objects]
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": metadata,
            "items": objects,
        }

    def _check_version(self, version: str) -> None:
        if version and not version.isdigit():
            raise errors.bad_request(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        if version and int(version) > self._store.revision:
            text = f"Timeout: Too large resource version: {version}, current: {self._store.revision}"
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            raise ApiError(504, "Timeout", text, {"retryAfterSeconds": 1, "causes": [cause]})

    def _table_of(self, route: Route, resource: ResourceInfo, objects: Sequence[Json], metadata: Json) -> Json:
        columns = tables.columns_of(resource, self._table.version_of_crd(resource))
        return tables.table(columns, objects, metadata, include=route.query.get("includeObject", "Metadata"))

    def watch(
        self, route: Route, resource: ResourceInfo, accept: str, info: RequestInfo, *, gone: bool = False
    ) -> Iterator[bytes]:
        """Return the lines of a watch. Raises ApiError for a bad request; later faults are ERROR events."""
        version = route.query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise errors.bad_request(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        send_initial = route.flag("sendInitialEvents")
        since = None if version in {"", "0"} or send_initial else int(version)
        request = WatchRequest(
            resource=resource,
            since=since,
            namespace=route.namespace or None,
            matches=self.predicate(route, resource),
            bookmarks=route.flag("allowWatchBookmarks"),
            timeout_s=float(route.query.get("timeoutSeconds") or DEFAULT_WATCH_S),
            render=self._renderer(route, resource, accept),
            send_initial=send_initial,
            bookmark_period_s=self.bookmark_period_s,
        )
        if gone:
            return iter([error_frame(errors.gone(f"too old resource version: {version} ({self._store.revision})"))])
        return self._with_faults(Stream(self._store, request), info)

    def _with_faults(self, stream: Stream, info: RequestInfo) -> Iterator[bytes]:
        for line in stream:
            fault = self._faults.meet_stream(info)
            if fault is not None and fault.half_open:
                raise Silence
            if fault is not None:
                raise CutConnection
            yield line

    def _renderer(self, route: Route, resource: ResourceInfo, accept: str) -> Callable[[Json], Json] | None:
        if "as=Table" in accept:
            return lambda obj: self._table_of(
                route, resource, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            )
        if "as=PartialObjectMetadata" in accept:
            return _partial
        if self._table.version_of_crd(resource) is not None:
            return lambda obj: {**obj, "apiVersion": resource.api_version}
        return None


def _place(obj: Json) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _served_as(record: Record, resource: ResourceInfo) -> Record:
    """Return a record in the version that was asked for; versions of custom resources differ in name only."""
    if record.obj["apiVersion"] == resource.api_version:
        return record
    return Record({**record.obj, "apiVersion": resource.api_version}, record.revision)


def _partial(obj: Any) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
