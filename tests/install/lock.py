"""A locked requirements file, read; and what its packages require of each other, by their own metadata."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "requirements"

Environment = Mapping[str, str]
"""Of PEP 508, such as `python_version`."""


def linux(python: str) -> Environment:
    """CPython of this version (`3.13`) on Linux."""
    return {
        **{key: str(value) for key, value in default_environment().items()},
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def entries(text: str) -> list[tuple[Requirement, list[str]]]:
    """Read a locked file: each requirement with its hashes."""
    lines = [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found = []
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        found.append((Requirement(requirement.strip()), [each.strip() for each in hashes]))
    return found


def pins(text: str, environment: Environment) -> dict[str, str]:
    """Read what a locked file installs there: version by canonical name."""
    found: dict[str, str] = {}
    for requirement, _ in entries(text):
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            (pin,) = requirement.specifier
            found[canonicalize_name(requirement.name)] = pin.version
    return found


def wanted(path: Path) -> Iterator[Requirement]:
    """Read what a `requirements/*.in` asks for, with what it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from wanted(path.parent / text.removeprefix("-r ").strip())
        elif text:
            yield Requirement(text)


def installed(name: str) -> tuple[Requirement, ...] | None:
    """Say what an installed package requires, in all environments and extras; `None` if it is not installed."""
    try:
        found = importlib.metadata.requires(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return tuple(map(Requirement, found or ()))


def faults(
    roots: Iterable[Requirement],
    pinned: Mapping[str, str],
    environment: Environment,
    required_by: Callable[[str], Iterable[Requirement] | None] = installed,
) -> tuple[list[str], set[str]]:
    """Follow requirements from the roots, by the pins alone.

    Args:
        roots: What is asked for.
        pinned: Version by canonical name.
        environment: Where.
        required_by: What a package requires; `None` if nobody knows.

    Returns:
        What a resolver would have to look for outside the pins, and the names that were reached.
    """
    queue = [(requirement, "requirements") for requirement in roots]
    done: set[tuple[str, str]] = set()
    wrong: list[str] = []
    while queue:
        requirement, by = queue.pop()
        name = canonicalize_name(requirement.name)
        version = pinned.get(name)
        if version is None:
            wrong.append(f"{by} requires {requirement}, which is not locked")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{by} requires {requirement}, locked is {version}")
        # Each extra adds requirements of its own to those without one.
        for extra in {"", *map(canonicalize_name, requirement.extras)} - {extra for at, extra in done if at == name}:
            done.add((name, extra))
            inner = required_by(name)
            if inner is None:
                wrong.append(f"{name} is locked, and not installed here")
                continue
            queue += [
                (each, name)
                for each in inner
                if each.marker is None or each.marker.evaluate({**environment, "extra": extra})
            ]
    return list(dict.fromkeys(wrong)), {name for name, _ in done}


def hashes_missing(text: str) -> list[str]:
    """Name the requirements without a hash."""
    return [
        str(requirement)
        for requirement, hashes in entries(text)
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)
    ]
