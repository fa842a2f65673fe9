"""The lock is complete: what it names is all that is ever installed, whatever is released later."""

import importlib.metadata
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install import lock
from tests.install.lock import REQUIREMENTS, ROOT

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
FILES = ("build", "runtime", "dev")


def text(name: str) -> str:
    return (REQUIREMENTS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", FILES)
def test_every_requirement_of_every_locked_package_is_locked(name: str, python: str) -> None:
    environment = lock.linux(python)
    pinned = lock.pins(text(f"{name}.txt"), environment)

    wrong, reached = lock.faults(lock.wanted(REQUIREMENTS / f"{name}.in"), pinned, environment)

    assert wrong == []
    assert reached == set(pinned), "and nothing is locked that nobody requires"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_project_itself_requires_is_locked(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = lock.linux(python)

    wrong, _ = lock.faults(
        map(Requirement, project["dependencies"]), lock.pins(text("runtime.txt"), environment), environment
    )

    assert wrong == []


def test_what_is_installed_here_is_what_is_locked() -> None:
    pinned = lock.pins(text("dev.txt"), lock.linux(".".join(map(str, sys.version_info[:2]))))

    assert {name: importlib.metadata.version(name) for name in pinned} == pinned


def test_a_requirement_of_an_extra_that_is_not_locked_is_noticed() -> None:
    metadata = {"cov": ["coverage[toml]>=7"], "coverage": ['tomli; extra == "toml"', 'old; python_version < "3.12"']}

    def wrong(python: str, **pinned: str) -> list[str]:
        return lock.faults(
            [Requirement("cov")],
            {"cov": "1", "coverage": "7.1", **pinned},
            lock.linux(python),
            lambda name: [Requirement(each) for each in metadata.get(name, [])],
        )[0]

    assert wrong("3.12", tomli="2") == []
    assert wrong("3.12") == ['coverage requires tomli; extra == "toml", which is not locked']
    assert wrong("3.11", tomli="2") == ['coverage requires old; python_version < "3.12", which is not locked']
    assert lock.faults([Requirement("x")], {"x": "1"}, lock.linux("3.12"), lambda _: None)[0] == [
        "x is locked, and not installed here"
    ]


def test_a_locked_version_that_does_not_fit_is_noticed() -> None:
    environment = lock.linux("3.13")
    pinned = {**lock.pins(text("runtime.txt"), environment), "werkzeug": "1.0"}

    wrong, _ = lock.faults([Requirement("flask")], pinned, environment)

    assert [each for each in wrong if re.fullmatch(r"flask requires werkzeug.*, locked is 1\.0", each)] == wrong != []


@pytest.mark.parametrize("name", FILES)
def test_every_locked_package_has_its_hashes(name: str) -> None:
    assert lock.hashes_missing(text(f"{name}.txt")) == []


def test_a_package_without_a_hash_is_noticed() -> None:
    good = "a==1 \\\n    --hash=sha256:" + "0" * 64
    assert lock.hashes_missing(f"{good}\nb==2 ; python_version < '3.12'\n    # via a\n") == [
        'b==2; python_version < "3.12"'
    ]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["build", "runtime"])
def test_what_is_shipped_is_what_is_tested(name: str, python: str) -> None:
    environment = lock.linux(python)
    tested = lock.pins(text("dev.txt"), environment)
    shipped = lock.pins(text(f"{name}.txt"), environment)

    assert shipped == {each: tested[each] for each in shipped}


@pytest.mark.parametrize("name", FILES)
def test_a_lock_says_how_it_is_made_so_that_dependabot_makes_it_the_same_way(name: str) -> None:
    command = text(f"{name}.txt").splitlines()[1].removeprefix("#").strip()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$$name", name)

    assert "--universal" in command
    assert "--python-version 3.11 " in command
    assert f"{command.replace('uv ', 'uv -q ', 1)} || exit" in makefile


def test_names_are_compared_as_an_index_does() -> None:
    assert canonicalize_name("ruamel.yaml") in lock.pins(text("runtime.txt"), lock.linux("3.13"))
