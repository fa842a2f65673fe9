"""`check` in CI: the action, the hook and the examples follow their schemas, and what they run works."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.docs import commands
from tests.docs.tools import run_tool, unpinned
from tests.objects import workload

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "ci"
BIN = Path(sys.executable).parent


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "app.yaml").write_text(yaml.safe_dump(workload("Deployment")))
    return tmp_path


def shell(script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=cwd,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.github-actions", ROOT / "action.yml"),
        ("vendor.github-workflows", EXAMPLES / "github.yml"),
        ("vendor.gitlab-ci", EXAMPLES / "gitlab.yml"),
    ],
)
def test_it_follows_its_schema(schema: str, path: Path) -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", schema, path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [ROOT / "action.yml", EXAMPLES / "github.yml"], ids=["action", "workflow"])
def test_zizmor_finds_nothing_in_what_runs_on_github(path: Path) -> None:
    done = run_tool("zizmor", "--offline", "--no-progress", "--min-severity", "medium", path)
    assert done.returncode == 0, done.stdout


def test_the_workflow_pins_what_is_not_ours() -> None:
    assert [each.split("@")[0] for each in unpinned((EXAMPLES / "github.yml").read_text())] == [
        "sesacthon/ghcr-pull-secrets"
    ]


def test_the_steps_of_the_action_check_what_they_are_given(project: Path) -> None:
    action = read(ROOT / "action.yml")
    *_, step = action["runs"]["steps"]
    (project / "ghcr-pull-secrets").mkdir()
    (project / "ghcr-pull-secrets" / "bin").symlink_to(BIN)
    inputs = {"inputs.paths": "k8s", "inputs.args": "--no-assume-installed --fail-on deny", "inputs.sarif": "out.sarif"}
    given = {name: inputs[value.strip("${} ")] for name, value in step["env"].items()}
    assert set(inputs.values()) == set(given.values())
    assert {f"inputs.{name}" for name in action["inputs"]} == set(inputs)

    done = shell(step["run"], project, RUNNER_TEMP=str(project), GITHUB_STEP_SUMMARY=str(project / "summary"), **given)

    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("::error file=k8s/app.yaml,line=")
    assert (project / "out.sarif").exists()
    assert "not\\_listed" in (project / "summary").read_text()
    clean = shell(step["run"], project, RUNNER_TEMP=str(project), PATHS=" k8s\nk8s/app.yaml ", ARGUMENTS="", SARIF="")
    assert clean.returncode == 0, clean.stderr


def test_the_action_installs_what_is_locked() -> None:
    install, _ = read(ROOT / "action.yml")["runs"]["steps"]
    for name in re.findall(r"\$GITHUB_ACTION_PATH/(\S+?)\"", install["run"]):
        assert (ROOT / name).exists()
    assert "--require-hashes" in install["run"]


def test_the_job_for_gitlab_writes_the_report_it_names(project: Path) -> None:
    job = read(EXAMPLES / "gitlab.yml")["pull-secrets"]
    done = shell("\n".join(job["script"]), project)
    assert done.returncode == 0, done.stderr
    suites = ET.fromstring((project / job["artifacts"]["reports"]["junit"]).read_text())
    assert [case.get("name") for case in suites.iter("testcase")] == ["Deployment auth/auth-api"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert job["image"]["name"].endswith(f":{version}")


def test_the_hook_for_pre_commit_is_there_and_runs(project: Path) -> None:
    (hook,) = read(ROOT / ".pre-commit-hooks.yaml")
    ((repository,),) = read(EXAMPLES / "pre-commit.yaml").values()
    (used,) = repository["hooks"]
    assert used["id"] == hook["id"]
    assert re.match(used["files"], "k8s/app.yaml")
    done = shell(" ".join([hook["entry"], *used["args"], "k8s/app.yaml"]), project)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_page_about_check_work(tmp_path: Path) -> None:
    page = commands.DOCS / "check.md"
    said = [commands.run(each.text, tmp_path / "none") for each in commands.blocks(page) if each.info == "sh run"]
    assert len(said) == 1
    assert "workloads with selected images" in said[0]
