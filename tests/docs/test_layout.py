"""Layout of the tests: what several test files share stands in none of them."""

import ast
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
