"""Kubeconfig files found, merged and parsed like kubectl does.

The rules are those of client-go's `clientcmd`: an explicit file is the only one; else every file of `$KUBECONFIG` that
exists; else `~/.kube/config`; else, in a Pod, its ServiceAccount. Of several files the first to name a cluster, a user,
a context or the current context wins, entry by entry, and a relative path means beside the file that holds it.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import yaml

from webhook.core.review import kind_of

MAX_BYTES: Final = 4 << 20
"""Of one file; a thousand clusters with their certificates have about 3 MiB."""

_SECTIONS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
_PATHS: Final = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
_BASE64: Final = frozenset({"certificate-authority-data", "client-certificate-data", "client-key-data"})
_IMPERSONATION: Final = ("as", "as-uid", "as-groups", "as-user-extra")
_SHOWN_NAMES: Final = 10


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used.

    Attributes:
        why: What is wrong, by field and kind of value; never a value but the names of contexts, clusters and users.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """Several files as one: entries by name, paths in them absolute."""

    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    current: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One context of a kubeconfig, with what it names; `namespace` is empty if it has none."""

    context: str
    namespace: str
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Spell it as a kubeconfig of its own, for the official client."""
        return {
            "current-context": self.context,
            "contexts": [{"name": self.context, "context": {"cluster": "cluster", "user": "user"}}],
            "clusters": [{"name": "cluster", "cluster": dict(self.cluster)}],
            "users": [{"name": "user", "user": dict(self.user)}],
        }


def candidates(explicit: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """List the files to look for, first one first; only an explicit one has to exist."""
    if explicit is not None:
        return (explicit,)
    if listed := environ.get("KUBECONFIG"):
        return tuple(dict.fromkeys(Path(part) for part in listed.split(os.pathsep) if part))
    home = environ.get("HOME")
    return (Path(home) / ".kube" / "config",) if home else ()


def read(path: Path) -> object:
    """Read one file.

    Raises:
        FileNotFoundError: There is none.
        KubeconfigError: It cannot be read, is too large, or is no YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KubeconfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise KubeconfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        # PyYAML quotes the line it stumbles over, which may hold a token.
        raise KubeconfigError(f"{path} is no YAML") from None


def load(paths: Sequence[Path], *, must_exist: bool = False) -> Kubeconfig | None:
    """Read and merge the files that exist; `None` if none does.

    Raises:
        KubeconfigError: One of them cannot be used, or one that must exist does not.
    """
    found = []
    for path in paths:
        try:
            found.append((path, read(path)))
        except FileNotFoundError:
            if must_exist:
                raise KubeconfigError(f"{path} does not exist") from None
    return merge(found) if found else None


def merge(files: Sequence[tuple[Path, object]]) -> Kubeconfig:
    """Merge what the files say; of two entries of one name the first file's counts, and nothing of the other's.

    Raises:
        KubeconfigError: What a file says has the wrong shape.
    """
    merged: dict[str, dict[str, Mapping[str, Any]]] = {section: {} for section in _SECTIONS}
    current = ""
    for path, document in files:
        content = _mapping(document, f"{path}")
        named = content.get("current-context") or ""
        if not isinstance(named, str):
            _wrong(f"{path}: current-context", named, "a string")
        current = current or named
        for section, entries in merged.items():
            for name, entry in _entries(path, section, content.get(section)).items():
                entries.setdefault(name, entry)
    return Kubeconfig(**merged, current=current)


def select(kubeconfig: Kubeconfig, context: str | None) -> Selection:
    """Take one context; `None` for the current one.

    Raises:
        KubeconfigError: It, or what it names, is not there; or it asks for what we cannot do.
    """
    name = context or kubeconfig.current
    if not name:
        raise KubeconfigError(f"no context is current; choose one with --context{_among(kubeconfig.contexts)}")
    if name not in kubeconfig.contexts:
        which = "a context of that name" if context else "the context that it says is current"
        raise KubeconfigError(f"there is not {which}{_among(kubeconfig.contexts)}")
    entry = kubeconfig.contexts[name]
    texts = {key: entry.get(key) or "" for key in ("cluster", "user", "namespace")}
    for key, value in texts.items():
        if not isinstance(value, str):
            _wrong(f"context {name}: {key}", value, "a string")
    if texts["cluster"] not in kubeconfig.clusters:
        raise KubeconfigError(f"context {name} names a cluster that is not there{_among(kubeconfig.clusters)}")
    if texts["user"] and texts["user"] not in kubeconfig.users:
        raise KubeconfigError(f"context {name} names a user that is not there{_among(kubeconfig.users)}")
    cluster, user = kubeconfig.clusters[texts["cluster"]], kubeconfig.users.get(texts["user"], {})
    if not isinstance(cluster.get("server"), str) or not cluster["server"]:
        raise KubeconfigError(f"cluster {texts['cluster']} has no server")
    if urlsplit(cluster["server"]).scheme not in {"https", "http"}:
        raise KubeconfigError(f"the server of cluster {texts['cluster']} is no URL (https://HOST:PORT)")
    _check_data(f"cluster {texts['cluster']}", cluster)
    _check_data(f"user {texts['user']}", user)
    if set(_IMPERSONATION) & {key for key, value in user.items() if value}:
        # To leave it out would be to act as somebody with more rights.
        raise KubeconfigError(f"user {texts['user']} impersonates another one (as), which is not supported")
    return Selection(context=name, namespace=texts["namespace"], cluster=cluster, user=user)


def _entries(path: Path, section: str, found: object) -> dict[str, Mapping[str, Any]]:
    if found is None:
        return {}
    if not isinstance(found, list):
        _wrong(f"{path}: {section}", found, "a list")
    entries: dict[str, Mapping[str, Any]] = {}
    for index, item in enumerate(found):
        where = f"{path}: {section}[{index}]"
        holder = _mapping(item, where)
        name = holder.get("name")
        if not isinstance(name, str):
            _wrong(f"{where}.name", name, "a string")
        if name in entries:
            raise KubeconfigError(f"{where}.name is that of an entry before it")
        entry = _mapping(holder.get(_SECTIONS[section]) or {}, f"{where}.{_SECTIONS[section]}")
        entries[name] = _absolute(section, entry, path.absolute().parent)
    return entries


def _check_data(where: str, entry: Mapping[str, Any]) -> None:
    for key in sorted(_BASE64.intersection(entry)):
        if not isinstance(entry[key], str):
            _wrong(f"{where}: {key}", entry[key], "a string")
        try:
            base64.b64decode("".join(entry[key].splitlines()), validate=True)
        except ValueError:
            raise KubeconfigError(f"{where}: {key} is not base64") from None


def _absolute(section: str, entry: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    made = dict(entry)
    for key in _PATHS.get(section, ()):
        if isinstance(value := made.get(key), str) and value:
            made[key] = str(folder / value)
    plugin = made.get("exec")
    if section == "users" and isinstance(plugin, dict):
        command = plugin.get("command")
        # One without a separator is looked for on the PATH.
        if isinstance(command, str) and os.sep in command:
            made["exec"] = {**plugin, "command": str(folder / command)}
    return made


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _wrong(where, value, "a mapping")
    return value


def _among(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:_SHOWN_NAMES]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f" (there are: {', '.join(shown)}{more})" if shown else " (there are none)"


def _wrong(where: str, value: object, expected: str) -> NoReturn:
    raise KubeconfigError(f"{where}: expected {expected}, found {kind_of(value)}")
