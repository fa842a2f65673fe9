"""Layout: no test file is imported, files that texts name are there, and a class name means one thing."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.relative_to(ROOT) for folder in ("tests", "standin") for path in (ROOT / folder).rglob("*.py"))


def imported(source: str) -> set[str]:
    """Names of the modules that a module imports, at its top or within."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def of_tests(modules: set[str]) -> set[str]:
    return {name for name in modules if any(part.startswith("test_") for part in name.split("."))}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_imports_a_test_file(path: Path) -> None:
    assert not of_tests(imported((ROOT / path).read_text(encoding="utf-8")))


def test_an_import_of_a_test_file_is_seen() -> None:
    assert of_tests(imported("def f():\n    from tests.e2e import test_story"))
    assert of_tests(imported("from tests.e2e.test_story import deployment"))
    assert not of_tests(imported("from tests.objects import workload"))


TEXTS = sorted(
    path.relative_to(ROOT)
    for folder in ("webhook", "certs", "standin", "tests", "charts", "docs", "scripts", "examples")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".tpl", ".yaml"} and not path.is_relative_to(ROOT / "tests/data")
)
PLACE = re.compile(r"(?<![\w/.-])(?:webhook|certs|standin|tests|scripts)/[\w/]+\.(?:py|tpl|yaml|jsonl?|txt)\b")
ALONE = re.compile(r"`(\w+\.py)`")


def gone(text: str, files: Iterable[str], folder: str = "") -> Iterator[str]:
    """Paths from this folder or the project's, and names of modules, that a text has and no file does."""
    known = set(files)
    yield from (place for place in PLACE.findall(text) if not known & {place, f"{folder}/{place}"})
    names = {place.rpartition("/")[2] for place in known}
    yield from (name for name in ALONE.findall(text) if name not in names)


def test_a_file_that_a_text_names_is_there() -> None:
    files = [
        str(path.relative_to(ROOT))
        for folder in ("webhook", "certs", "standin", "tests", "scripts")
        for path in (ROOT / folder).rglob("*")
    ]
    # Two tests name files that they make up.
    texts = {*TEXTS, Path("README.md"), Path("CONTRIBUTING.md")} - {
        Path("tests/docs/test_layout.py"),
        Path("tests/install/test_groups.py"),
    }
    named = {path: list(gone((ROOT / path).read_text(encoding="utf-8"), files, str(path.parent))) for path in texts}
    assert {str(path): places for path, places in named.items() if places} == {}


def test_a_file_that_is_gone_is_seen() -> None:
    text = "see webhook/core/a.py and `b.py`, not charts/x/tests/c.py"
    assert list(gone(text, ["webhook/core/d.py"])) == ["webhook/core/a.py", "b.py"]
    assert list(gone("`d.py`, tests/e.py", ["webhook/core/d.py", "standin/tests/e.py"], "standin")) == []


def doubled(sources: Iterable[str]) -> set[str]:
    """Names of public classes that modules define more than once."""
    found = Counter(
        node.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return {name for name, times in found.items() if times > 1}


def test_a_class_name_means_one_thing() -> None:
    modules = [path for folder in ("webhook", "certs") for path in (ROOT / folder).rglob("*.py")]
    assert doubled(path.read_text(encoding="utf-8") for path in modules) == set()


def test_a_class_name_that_means_two_things_is_seen() -> None:
    assert doubled(["class Outcome: ...\nclass _Own: ...", "class Outcome: ...\nclass _Own: ..."]) == {"Outcome"}
