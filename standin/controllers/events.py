"""Events, one object for what repeats, as client-go's recorder keeps them."""

from __future__ import annotations

import threading

from standin.controllers.objects import fnv32a, now
from standin.errors import ApiError
from standin.interfaces import Client, Json

MAX_MESSAGE = 1024


class EventRecorder:
    """Writes `v1` Events as one component; never fails its caller."""

    def __init__(self, client: Client, component: str) -> None:
        self._client = client
        self._component = component
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], int] = {}

    def record(self, obj: Json, reason: str, message: str, *, kind: str = "Normal") -> None:
        """Write an event about `obj`, or count one more time an equal one.

        An event that cannot be written (a namespace that goes away, a quota) is dropped, as in a real cluster.
        """
        metadata = obj["metadata"]
        message = message[:MAX_MESSAGE]
        with self._lock:
            what = (metadata["uid"], reason, message)
            count = self._counts[what] = self._counts.get(what, 0) + 1
        namespace = metadata.get("namespace") or "default"
        name = f"{metadata['name']}.{fnv32a('/'.join(what).encode()):016x}"
        try:
            if count > 1:
                self._client.patch("events", namespace, name, {"count": count, "lastTimestamp": now()})
            else:
                self._client.create("events", namespace, self._event(obj, namespace, name, reason, message, kind))
        except ApiError:
            with self._lock:
                # The next one is to be created, not counted: this one is not there.
                self._counts.pop(what, None)

    def _event(self, obj: Json, namespace: str, name: str, reason: str, message: str, kind: str) -> Json:
        metadata = obj["metadata"]
        moment = now()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "kind": obj["kind"],
                "namespace": namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
                "apiVersion": obj["apiVersion"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "reportingComponent": self._component,
            "reportingInstance": "",
        }
