"""Pods listed in pages and reduced to the fields we need."""

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import structlog

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.objects import KEPT_NAMES, mounts_copy
from webhook.cluster.paging import Page, pages
from webhook.cluster.requests import Target, Verb
from webhook.cluster.wire import Content
from webhook.core.kubelet_words import MAX_MESSAGE, MAX_REASON
from webhook.core.names import INJECT_KEY, MIRROR_ANNOTATION, SECRET_NAME
from webhook.core.review import Json
from webhook.ports import Deadline

PODS_A_PAGE: Final = 100
"""A Pod has some ten kilobytes."""

MAX_WAITING: Final = 32
"""Containers of one Pod that do not run whose words are kept; a real one has a handful."""

_PENDING: Final = {"fieldSelector": "status.phase=Pending"}


class ClusterPods:
    """Lists Pods; one page is in memory at a time, cut down to what is looked at.

    RBAC: `list` on pods.
    """

    def __init__(self, client: Client, *, page_size: int = PODS_A_PAGE) -> None:
        self._client = client
        self._page_size = page_size
        self._reading = threading.Lock()
        self._log = structlog.get_logger()

    def list(self, deadline: Deadline, *, namespace: str = "", pending: bool = False) -> Iterator[Json]:
        """Yield the Pods of one namespace or of all, or only those whose phase is Pending.

        They hold what `core.workloads` and `core.kubelet_words` read of a Pod, its node, and since when it is not
        ready; nothing else, and no environment. One that takes content from `ghcr-secret` in any way has a volume of it
        here. Entries that repeat are left out, and so are pull secrets beyond the first `KEPT_NAMES`,
        except `ghcr-secret`. Of its containers that wait `MAX_WAITING` are kept, with words of bounded length. A Pod
        that is too large to be read is passed over, with a line in the log: what it pulls is not known.

        A list that took so long that its continuation expired (410) is begun again, once; Pods then come twice.

        Raises:
            ClusterError: The API server did not give the list.
        """
        target = Target(verb=Verb.LIST, resource="pods", namespace=namespace)
        query: Mapping[str, str] = _PENDING if pending else {}
        found = pages(
            self._client, target, self._decode, query=query, deadline=lambda: deadline, page_size=self._page_size
        )
        while (page := self._next(found)) is not None:
            for pod in page.items:
                if pod is not None:
                    yield pod

    def _next(self, found: Iterator[Page[Json | None]]) -> Page[Json | None] | None:
        # One thread at a time: what a page takes while it is decoded is many times its size.
        with self._reading:
            return next(found, None)

    def _decode(self, content: Content, whole: bool) -> Json | None:
        pod = wire.read(content, _Pod)
        metadata, spec = pod.metadata, pod.spec or _Spec()
        if not whole:
            self._log.warning("pod_too_large", namespace=metadata.namespace, name=metadata.name)
            return None
        lists = {
            "imagePullSecrets": [{"name": name} for name in _names(spec.image_pull_secrets)],
            "containers": _distinct(spec.containers),
            "initContainers": _distinct(spec.init_containers),
            "ephemeralContainers": _distinct(spec.ephemeral_containers),
            "volumes": _distinct(volume for volume in spec.volumes or () if volume and volume.image)
            + ([{"secret": {"secretName": SECRET_NAME}}] if mounts_copy(content) else []),
        }
        found = {
            "metadata": msgspec.to_builtins(metadata),
            "spec": {name: entries for name, entries in lists.items() if entries}
            | ({"serviceAccountName": spec.service_account_name} if spec.service_account_name else {})
            | ({"nodeName": spec.node_name} if spec.node_name else {}),
        }
        owners = [owner for owner in metadata.owner_references or () if owner is not None and owner.controller]
        found["metadata"].pop("ownerReferences", None)
        if owners:
            found["metadata"]["ownerReferences"] = [msgspec.to_builtins(owners[0])]
        if pod.status is not None and (status := _status(pod.status)):
            found["status"] = status
        return found


# Only fields whose value is not the default are written, so that what is absent stays absent.
class _Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """An entry of one of the lists."""


class _Reference(_Entry, frozen=True):
    name: str | None = None


class _Container(_Entry, frozen=True):
    name: str | None = None
    image: str | None = None
    image_pull_policy: str | None = None


class _ImageSource(_Entry, frozen=True):
    reference: str | None = None
    pull_policy: str | None = None


class _Volume(_Entry, frozen=True):
    name: str | None = None
    image: _ImageSource | None = None


class _Annotations(msgspec.Struct, omit_defaults=True):
    inject: str | None = msgspec.field(name=INJECT_KEY, default=None)
    mirror: str | None = msgspec.field(name=MIRROR_ANNOTATION, default=None)


class _OwnerReference(_Entry, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, omit_defaults=True, rename="camel"):
    name: str
    namespace: str = ""
    annotations: _Annotations | None = None
    creation_timestamp: str | None = None
    owner_references: list[_OwnerReference | None] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    image_pull_secrets: list[_Reference | None] | None = None
    service_account_name: str | None = None
    node_name: str | None = None
    containers: list[_Container | None] | None = None
    init_containers: list[_Container | None] | None = None
    ephemeral_containers: list[_Container | None] | None = None
    volumes: list[_Volume | None] | None = None


class _Waiting(_Entry, frozen=True):
    reason: str = ""
    message: str = ""


class _Terminated(_Entry, frozen=True):
    exit_code: int | None = None


class _Running(_Entry, frozen=True):
    """Of a container that runs; no more is kept than that it does."""


class _State(_Entry, frozen=True):
    running: _Running | None = None
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(_Entry, frozen=True):
    name: str = ""
    state: _State | None = None
    last_state: _State | None = None


class _Condition(_Entry, frozen=True):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class _PodStatus(msgspec.Struct, rename="camel"):
    phase: str = ""
    start_time: str | None = None
    conditions: list[_Condition | None] | None = None
    init_container_statuses: list[_ContainerStatus | None] | None = None
    container_statuses: list[_ContainerStatus | None] | None = None
    ephemeral_container_statuses: list[_ContainerStatus | None] | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec | None = None
    status: _PodStatus | None = None


def _status(status: _PodStatus) -> Json:
    """Keep the phase, of containers that do not run what `kubelet_words` looks at, and whether others do."""
    found: Json = {"phase": status.phase} if status.phase else {}
    running: Json = {}
    room = MAX_WAITING
    for name, entries in (
        ("initContainerStatuses", status.init_container_statuses),
        ("containerStatuses", status.container_statuses),
        ("ephemeralContainerStatuses", status.ephemeral_container_statuses),
    ):
        kept = [_bounded(entry) for entry in entries or () if entry is not None and _does_not_run(entry)][:room]
        room -= len(kept)
        if kept:
            found[name] = kept
        if (runs := next((entry for entry in entries or () if entry is not None and _runs(entry)), None)) is not None:
            running[name] = [{"name": runs.name, "state": {"running": {}}}]
    if room == MAX_WAITING:
        return found
    for name, one in running.items():
        found[name] = [*found.get(name, ()), *one]
    found["conditions"] = [
        msgspec.to_builtins(entry) for entry in status.conditions or () if entry and entry.type == "ContainersReady"
    ][:1]
    return found | ({"startTime": status.start_time} if status.start_time else {})


def _runs(entry: _ContainerStatus) -> bool:
    return entry.state is not None and entry.state.running is not None


def _does_not_run(entry: _ContainerStatus) -> bool:
    """Return whether a container waits, or ended badly again; one that has done its work does neither."""
    state, last = entry.state, entry.last_state
    if state is None or state.waiting is not None:
        return state is not None
    again = last is not None and last.terminated is not None
    return again and state.terminated is not None and state.terminated.exit_code != 0


def _bounded(entry: _ContainerStatus) -> Json:
    kept: Json = msgspec.to_builtins(entry)
    kept.pop("lastState", None)
    if entry.last_state is not None and entry.last_state.terminated is not None:
        kept["lastState"] = {"terminated": {}}
    if (waiting := kept["state"].get("waiting")) is not None:
        for field, bound in (("reason", MAX_REASON), ("message", MAX_MESSAGE)):
            if field in waiting:
                waiting[field] = waiting[field][:bound]
    return kept


def _distinct(entries: Iterable[_Entry | None] | None) -> list[Any]:
    return [msgspec.to_builtins(entry) for entry in dict.fromkeys(entries or ()) if entry is not None]


def _names(entries: Iterable[_Reference | None] | None) -> list[str]:
    names = dict.fromkeys(entry.name for entry in entries or () if entry is not None and entry.name)
    kept = list(itertools.islice(names, KEPT_NAMES))
    return [*kept, SECRET_NAME] if SECRET_NAME in names and SECRET_NAME not in kept else kept
