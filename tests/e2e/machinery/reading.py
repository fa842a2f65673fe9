"""What an API server has stored, read as `kubectl get -o json` has it, without a process for each look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import urllib3

from tests.e2e.machinery.raw import RawApi, connected

_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ReadFailed(AssertionError):
    """The API server could not be asked, or said something else than what was asked for."""


class NotThere(ReadFailed):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    prefix: str
    plural: str
    namespaced: bool

    def path(self, name: str, namespace: str) -> str:
        where = f"/namespaces/{quote(namespace or 'default')}" if self.namespaced else ""
        return f"{self.prefix}{where}/{self.plural}" + (f"/{quote(name)}" if name else "")


_known: dict[Path, dict[str, _Resource]] = {}


def read(kubeconfig: Path, kind: str, name: str, namespace: str) -> dict[str, Any]:
    """Read an object, or those of a namespace without a name.

    Args:
        kubeconfig: One with a token.
        kind: As kubectl takes it: in the plural or singular, or short.
        name: Of the object.
        namespace: `default` if empty.

    Raises:
        NotThere: There is no object of that name.
        ReadFailed: Another answer, or none.
    """
    try:
        with connected(kubeconfig) as api:
            found = api("GET", _resource(api, kubeconfig, kind).path(name, namespace))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ReadFailed(f"the API server was not reached: {error}") from error
    if found.code == 404 and found.body.get("details", {}).get("name"):
        raise NotThere(found.body["message"])
    if found.code != 200:
        raise ReadFailed(f"{kind} {name}: {found.body}")
    obj = dict(found.body)
    if name:
        return _shown(obj)
    kinds = {"apiVersion": obj["apiVersion"], "kind": obj["kind"].removesuffix("List")}
    return {**obj, "items": [_shown({**kinds, **item}) for item in obj["items"]]}


def _shown(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"].pop("managedFields", None)
    return obj


def _resource(api: RawApi, kubeconfig: Path, kind: str) -> _Resource:
    # What is served changes when a definition is added or taken away.
    if kind not in _known.get(kubeconfig, {}):
        _known[kubeconfig] = _discovered(api)
    try:
        return _known[kubeconfig][kind]
    except KeyError:
        raise ReadFailed(f"the API server has no {kind}") from None


def _discovered(api: RawApi) -> dict[str, _Resource]:
    found: dict[str, _Resource] = {}
    for root in ("/api", "/apis"):
        answer = api("GET", root, accept=_AGGREGATED)
        if answer.code != 200:
            raise ReadFailed(f"{root}: {answer.body}")
        for group in answer.body["items"]:
            # Without a name it is the core group.
            of_group = "/".join(filter(None, (root, group["metadata"].get("name"))))
            for version in group["versions"]:
                for each in version["resources"]:
                    resource = _Resource(
                        prefix=f"{of_group}/{version['version']}",
                        plural=each["resource"],
                        namespaced=each["scope"] == "Namespaced",
                    )
                    for word in (each["resource"], each["singularResource"], *each.get("shortNames", ())):
                        # The first one has it: the core group's, and of versions the preferred.
                        found.setdefault(word, resource)
    return found
