"""The workflows: well formed, pinned, with the least permissions, and without a way in for untrusted text."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.versions import NEWEST
from tests.docs.tools import run_tool, unpinned

ROOT = Path(__file__).resolve().parents[2]
CHART = "charts/ghcr-pull-secrets/Chart.yaml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
IDS = [path.name for path in WORKFLOWS]


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from read(path)["jobs"].items()


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for _, job in jobs(path):
        yield from job.get("steps", [])


def test_there_are_the_two_workflows() -> None:
    assert IDS == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_it_follows_the_schema_of_workflows(path: Path) -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)

    assert done.returncode == 0, done.stdout


def test_what_moves_the_pins_follows_its_schema_too() -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", ROOT / ".github" / "dependabot.yml")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_zizmor_finds_nothing(path: Path) -> None:
    done = run_tool("zizmor", "--offline", "--no-progress", "--min-severity", "medium", "--persona", "auditor", path)

    assert done.returncode == 0, done.stdout


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / ".github" / "workflows" / "bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        '      - run: echo "${{ github.event.pull_request.title }}"\n'
    )

    found = run_tool("zizmor", "--offline", "--no-progress", bad)

    assert "template-injection" in found.stdout
    assert "dangerous-triggers" in found.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    assert unpinned(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("used", ["actions/checkout@v7", "actions/checkout@main", f"actions/checkout@{'a' * 40}"])
def test_an_action_by_tag_or_without_its_version_would_be_noticed(used: str) -> None:
    assert unpinned(f"    - uses: {used}\n") == [used]


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_nothing_is_granted_but_by_the_job_that_needs_it(path: Path) -> None:
    assert read(path)["permissions"] == {}
    writes = {
        (name, scope)
        for name, job in jobs(path)
        for scope, access in job["permissions"].items()
        if access != "read" or scope != "contents"
    }
    assert writes == (
        {
            ("image", "packages"),
            ("image", "id-token"),
            ("image", "attestations"),
            ("chart", "packages"),
            ("chart", "id-token"),
        }
        if path.name == "release.yml"
        else set()
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_no_expression_is_pasted_into_a_script(path: Path) -> None:
    assert [step for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]

    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_a_pipe_fails_with_any_of_its_commands(path: Path) -> None:
    # GitHub runs a shell that is named `bash` with pipefail, and its unnamed default without.
    assert read(path)["defaults"] == {"run": {"shell": "bash"}}
    assert not any("shell" in step for step in steps(path))


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_every_job_ends_in_time(path: Path) -> None:
    assert all("timeout-minutes" in job or "uses" in job for _, job in jobs(path))


def test_every_python_that_the_project_admits_is_tried() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tried = dict(jobs(WORKFLOWS[0]))["test"]["strategy"]["matrix"]["python"]
    (image,) = re.findall(r"^FROM python:([\d.]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)

    assert tried == [f"3.{minor}" for minor in range(11, 11 + len(tried))]
    assert pyproject["project"]["requires-python"] == f">={tried[0]}"
    assert image in tried


def test_a_machine_with_what_the_readme_asks_for_and_nothing_else_is_tried() -> None:
    job = dict(jobs(WORKFLOWS[0]))["debian"]
    installed = set(re.findall(r"[a-z0-9-]+", job["steps"][0]["run"].partition("--no-install-recommends")[2]))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"^On Debian .*$", readme, re.MULTILINE)
    asked = set(re.findall(r"`([a-z0-9-]+)`", sentence))

    assert job["container"] == "debian:12"
    assert installed == {*asked, "ca-certificates"}
    assert [step["run"] for step in job["steps"][2:]] == ["make demo", "make test"]


def test_what_is_locked_and_what_the_image_is_made_of_is_watched() -> None:
    updates = read(ROOT / ".github" / "dependabot.yml")["updates"]
    watched = {(each["package-ecosystem"], each["directory"]) for each in updates}

    assert watched == {("github-actions", "/"), ("uv", "/requirements"), ("docker", "/")}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)


@pytest.fixture
def pin(tmp_path: Path) -> Callable[[str, str], tuple[int, dict[str, str]]]:
    """Run the release's look at the base image, with a docker that knows one digest."""
    script = next(step["run"] for step in steps(WORKFLOWS[1]) if step.get("id") == "base")

    def run(base: str, digest: str) -> tuple[int, dict[str, str]]:
        docker = tmp_path / "docker"
        asked = f"buildx imagetools inspect {base} --format {{{{json .Manifest.Digest}}}}"
        docker.write_text(f"#!/bin/sh\n[ \"$*\" = '{asked}' ] && echo '\"{digest}\"'\n")
        docker.chmod(0o755)
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        (tmp_path / "Dockerfile").write_text(re.sub(r"^FROM python:\S+ ", f"FROM {base} ", text, flags=re.MULTILINE))
        output = tmp_path / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, dict(line.split("=", 1) for line in output.read_text().splitlines())

    return run


def test_an_image_is_released_on_a_base_that_is_pinned_by_digest(
    pin: Callable[[str, str], tuple[int, dict[str, str]]],
) -> None:
    digest, old = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    build = next(step for step in steps(WORKFLOWS[1]) if step.get("id") == "build")["with"]
    pinned = {"image": f"python:3.13-slim@{digest}", "name": "python:3.13-slim", "digest": digest}

    assert "BASE_IMAGE=${{ steps.base.outputs.image }}" in build["build-args"]
    assert pin("python:3.13-slim", digest) == (0, pinned)
    # One that Dependabot moves.
    assert pin(f"python:3.13-slim@{old}", old) == (0, {**pinned, "image": f"python:3.13-slim@{old}", "digest": old})


def test_nothing_is_released_on_a_base_without_a_digest(pin: Callable[[str, str], tuple[int, dict[str, str]]]) -> None:
    status, outputs = pin("python:3.13-slim", "")

    assert status != 0
    assert outputs == {}


def test_the_oldest_kubernetes_the_chart_takes_is_tried_and_the_three_newest_each_by_digest() -> None:
    rows = dict(jobs(WORKFLOWS[0]))["e2e"]["strategy"]["matrix"]["include"]
    oldest = re.fullmatch(r">=1\.(\d+)\.0-0", read(ROOT / CHART)["kubeVersion"])
    minors = [int(row["kubernetes"].removeprefix("1.")) for row in rows]
    newest = int(NEWEST.removeprefix("1."))

    assert oldest is not None
    assert minors == [int(oldest[1]), newest - 2, newest - 1, newest]
    for row, minor in zip(rows, minors, strict=True):
        kubectl = re.fullmatch(r"v1\.(\d+)\.\d+", row["kubectl"])
        assert kubectl is not None
        assert abs(int(kubectl[1]) - minor) <= 1
        assert re.fullmatch(rf"kindest/node:v{re.escape(row['kubernetes'])}\.\d+@sha256:[0-9a-f]{{64}}", row["node"])


def test_what_is_released_was_tested_and_is_signed() -> None:
    of = dict(jobs(WORKFLOWS[1]))
    scripts = {name: "\n".join(step.get("run", "") for step in job.get("steps", [])) for name, job in of.items()}
    build = next(step for step in of["image"]["steps"] if step.get("id") == "build")["with"]

    assert "ci" in of["image"]["needs"]
    assert "image" in of["chart"]["needs"]
    assert (build["platforms"], build["sbom"], build["provenance"]) == ("linux/amd64,linux/arm64", True, "mode=max")
    assert "cosign sign" in scripts["image"]
    assert "cosign sign" in scripts["chart"]


def test_the_privileged_containers_of_a_release_are_pinned_and_not_cached() -> None:
    used = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps(WORKFLOWS[1]) if "uses" in step}
    emulator, builder = used["docker/setup-qemu-action"], used["docker/setup-buildx-action"]

    assert re.fullmatch(r"docker\.io/tonistiigi/binfmt:\S+@sha256:[0-9a-f]{64}", emulator["image"])
    assert re.fullmatch(r"image=docker\.io/moby/buildkit:\S+@sha256:[0-9a-f]{64}", builder["driver-opts"])
    assert (emulator["cache-image"], builder["cache-binary"]) == (False, False)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A clone, its HEAD on main, with the files that say a version."""
    for name in ("pyproject.toml", CHART):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD")
    return tmp_path


def git(folder: Path, *args: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, timeout=60)


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=test")


def check_version(
    folder: Path, tag: str, repository: str = "sesacthon/ghcr-pull-secrets"
) -> tuple[str, dict[str, str]]:
    """Run the release's check as GitHub does; give what it printed, and its outputs if it succeeded."""
    script = next(step["run"] for step in steps(WORKFLOWS[1]) if step.get("id") == "version")
    output = folder / ".git" / "output"
    output.unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "GITHUB_REF_NAME": tag,
            "GITHUB_REPOSITORY": repository,
            "GITHUB_OUTPUT": str(output),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) == output.exists()
    written = output.read_text(encoding="utf-8").splitlines() if output.exists() else []
    return done.stdout, dict(line.split("=", 1) for line in written)


def version() -> str:
    chart: dict[str, str] = yaml.safe_load((ROOT / CHART).read_text(encoding="utf-8"))
    return chart["version"]


def test_the_tag_of_the_version_is_released_under_names_a_registry_takes(tagged: Path) -> None:
    assert check_version(tagged, f"v{version()}", "SeSACTHON/GHCR-pull-secrets") == (
        "",
        {
            "version": version(),
            "image": "ghcr.io/sesacthon/ghcr-pull-secrets",
            "charts": "ghcr.io/sesacthon/charts",
        },
    )


def test_a_tag_of_another_version_is_not_released(tagged: Path) -> None:
    said, outputs = check_version(tagged, f"v{version()}-rc.1")

    assert outputs == {}
    assert (
        f'::error::The tag is v{version()}-rc.1, but pyproject.toml has no line: version = "{version()}-rc.1"' in said
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pyproject.toml", 'version = "{}"'),
        (CHART, "version: {}"),
        (CHART, 'appVersion: "{}"'),
        (CHART, "      image: ghcr.io/sesacthon/ghcr-pull-secrets:{}"),
    ],
)
def test_no_version_is_released_that_one_place_has_forgotten(tagged: Path, name: str, line: str) -> None:
    path = tagged / name
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(f"\n{line.format(version())}\n", f"\n{line.format(version() + '-rc.1')}\n"), encoding="utf-8"
    )

    said, outputs = check_version(tagged, f"v{version()}")

    assert outputs == {}
    assert f"{name} has no line: {line.format(version())}" in said


def test_a_tag_that_is_not_on_main_is_not_released(tagged: Path) -> None:
    commit(tagged)

    said, outputs = check_version(tagged, f"v{version()}")

    assert outputs == {}
    assert f"::error::v{version()} is not on main." in said


def test_a_tag_of_an_older_commit_on_main_is_released(tagged: Path) -> None:
    commit(tagged)
    git(tagged, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(tagged, "checkout", "--quiet", "--detach", "HEAD~1")

    assert check_version(tagged, f"v{version()}")[1]["version"] == version()
