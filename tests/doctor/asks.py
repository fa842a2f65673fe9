"""An API server in memory that is only read: `Asks` for tests, held to the same contract as the adapter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import decode
from webhook.core.copies import Secret
from webhook.core.names import SECRET_NAME
from webhook.doctor.evidence import PresentedCertificate
from webhook.ports import Forbidden

T = TypeVar("T")
_IN = re.compile(r"(?P<key>\S+) in \((?P<values>[^)]*)\)")


class FakeAsks:
    """Objects as the API server would give them.

    Args:
        objects: What there is.
        kinds: Plural names of the kinds that are not there.
    """

    def __init__(self, objects: Iterable[Mapping[str, Any]] = (), *, without: Iterable[str] = ()) -> None:
        self.objects = list(objects)
        self.forbidden: set[str] = set()
        self.without = set(without)
        self.handshake: PresentedCertificate | None = None
        self.asked: list[Target] = []

    def get(self, target: Target, kind: type[T]) -> T | None:
        self._check(target)
        for each in self._of(target):
            if each["metadata"]["name"] == (target.name or target.resource):
                return msgspec.convert(each, kind)
        return None

    def list(self, target: Target, kind: type[T], query: Mapping[str, str] | None = None) -> tuple[T, ...] | None:
        self._check(target)
        if target.resource in self.without:
            return None
        return tuple(msgspec.convert(each, kind) for each in self._of(target) if _selected(each, query or {}))

    def secrets(self, namespace: str) -> tuple[Secret, ...]:
        target = Target(verb=Verb.GET if namespace else Verb.LIST, resource="secrets", namespace=namespace)
        self._check(target)
        found = [each for each in self._of(target) if each["metadata"]["name"] == SECRET_NAME]
        return tuple(decode(msgspec.json.encode(each)) for each in found)

    def served(self, host: str, port: int) -> PresentedCertificate | None:
        assert (host, port) == ("127.77.0.9", 8443)
        return self.handshake

    def _check(self, target: Target) -> None:
        self.asked.append(target)
        if target.resource in self.forbidden:
            raise target.error(Forbidden, code=403)

    def _of(self, target: Target) -> Iterable[Mapping[str, Any]]:
        for each in self.objects if target.resource not in self.without else ():
            its = each["metadata"].get("namespace", "")
            if _resource(each) == target.resource and target.namespace in ("", its):
                yield each


def _resource(obj: Mapping[str, Any]) -> str:
    kind = obj["kind"].lower()
    if kind == "apigroup":
        return str(obj["metadata"]["name"])
    return f"{kind[:-1]}ies" if kind.endswith("policy") else f"{kind}s"


def _selected(obj: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    labels = obj["metadata"].get("labels", {})
    selector = query.get("labelSelector", "")
    if match := _IN.fullmatch(selector):
        return labels.get(match["key"]) in match["values"].split(",")
    if selector:
        key, _, value = selector.partition("=")
        return bool(labels.get(key) == value)
    key, _, value = query.get("fieldSelector", "").partition("=")
    return not key or obj.get(key) == value
