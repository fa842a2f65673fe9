"""The Dockerfile, and `scripts/build-image` with engines that only write down how they were called."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.image.engines import REPOSITORY

_DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_builder_is_sent_what_is_copied_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE, re.MULTILINE)
    wanted = {source for line in copied for source in line.split()}
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == wanted


def test_every_install_is_by_hash_or_of_a_wheel_made_here_and_resolves_nothing() -> None:
    text = re.sub(r"^ *#.*\n", "", _DOCKERFILE, flags=re.MULTILINE)
    commands = text.replace("\\\n", " ").replace("&&", "\n").splitlines()
    pip = [" ".join(command.split()) for command in commands if "/bin/pip " in command]
    locked = [each for each in pip if "-r requirements/" in each]
    assert len(pip) == 6
    assert len(locked) == 2
    assert all("install --no-deps --require-hashes --only-binary :all:" in each for each in locked)
    # What the lock lacks, `pip check` says, before anything is taken away or added.
    for each in locked:
        assert pip[pip.index(each) + 1] == each.partition(" install ")[0] + " check"
    assert all("--no-index --no-deps" in each for each in pip if each not in locked and not each.endswith(" check"))


def test_dependabot_can_read_the_base_image_and_another_can_be_given() -> None:
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", _DOCKERFILE, re.MULTILINE)
    (named,) = [base for base in bases if "$" not in base[0]]
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", named[0])
    assert _DOCKERFILE.count(f"ARG BASE_IMAGE={named[1]}\n") == 1
    assert [base[0] for base in bases if base != named] == ["${BASE_IMAGE}"] * 2


def test_the_wheel_is_made_with_the_setuptools_of_the_tests() -> None:
    def locked(name: str) -> list[str]:
        return re.findall(
            r"^setuptools==.*(?:\n    --hash.*)+", (REPOSITORY / "requirements" / name).read_text(), re.MULTILINE
        )

    assert locked("build.txt") == locked("dev.txt") != []


_DOCKER = """#!/bin/sh
[ "$1" = version ] && exit "${DOCKER_STATUS:-0}"
printf '%s ' docker "$@" >>calls
printf '\\n' >>calls
"""
_BUILDAH = """#!/bin/sh
shift 6  # where its storage is
printf '%s ' buildah "$@" >>calls
printf 'BASE_IMAGE=%s\\n' "$BASE_IMAGE" >>calls
case $1 in
inspect) exit "${BASE_STATUS:-0}" ;;
from) echo working ;;
esac
"""
_DEBOOTSTRAP = """#!/bin/sh
printf '%s ' debootstrap "$@" >>calls
printf '\\n' >>calls
exit "${DEBOOTSTRAP_STATUS:-0}"
"""
_NEEDED = ("bash", "sh", "cat", "dirname", "mkdir", "rm", "sed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    status: int
    said: str
    calls: list[str]
    image: str | None


Build = Callable[..., Built]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Runs a copy of the script in a folder of its own, on a machine that has these programs and no others."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "build-image", tmp_path / "scripts")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for name in _NEEDED:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")

    def build(programs: Mapping[str, str], environment: Mapping[str, str] | None = None, *, uid: int = 0) -> Built:
        for name, script in {**programs, "id": f"#!/bin/sh\necho {uid}\n"}.items():
            (tmp_path / "bin" / name).write_text(script)
            (tmp_path / "bin" / name).chmod(0o755)
        done = subprocess.run(
            [tmp_path / "scripts" / "build-image"],
            env={**(environment or {}), "PATH": str(tmp_path / "bin")},
            cwd=os.sep,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        calls, image = tmp_path / "calls", tmp_path / "build" / "image"
        return Built(
            status=done.returncode,
            said=done.stderr,
            calls=calls.read_text().splitlines() if calls.exists() else [],
            image=image.read_text().strip() if image.exists() else None,
        )

    return build


def test_a_docker_engine_that_answers_builds_with_the_defaults_of_the_dockerfile(build: Build) -> None:
    built = build({"docker": _DOCKER, "buildah": _BUILDAH})
    (call,) = built.calls
    assert call.startswith("docker build --build-arg VERSION=0.1.0 ")
    assert call.endswith(" --tag ghcr-pull-secrets:0.1.0 . ")
    assert not re.search("BASE_IMAGE|PIP_|--secret|--network", call)
    assert "REVISION=unknown " in call  # there is no git here
    assert built.image == "docker ghcr-pull-secrets:0.1.0"


def test_settings_of_the_index_are_passed_by_name_and_files_as_secrets(build: Build) -> None:
    index = "https://robot:hunter2@mirror.example/simple"
    files = {"PIP_CERT": "/ca.pem", "PIP_CONFIG_FILE": "/pip.conf"}
    built = build({"docker": _DOCKER}, {"PIP_INDEX_URL": index, "BUILD_NETWORK": "host", **files})
    (call,) = built.calls
    assert "--build-arg PIP_INDEX_URL --secret id=ca,src=/ca.pem --secret id=pip.conf,src=/pip.conf" in call
    assert "--network host" in call
    assert "hunter2" not in call
    assert "PIP_TRUSTED_HOST" not in call


def test_name_and_tag_can_be_chosen(build: Build) -> None:
    built = build({"docker": _DOCKER}, {"IMAGE_NAME": "registry.example/x", "IMAGE_TAG": "dev"})
    assert built.image == "docker registry.example/x:dev"


def test_without_a_docker_engine_buildah_builds_on_the_base_that_is_given(build: Build) -> None:
    built = build({"docker": _DOCKER, "buildah": _BUILDAH}, {"DOCKER_STATUS": "1", "BASE_IMAGE": "base:1"})
    (call,) = built.calls
    assert call.startswith("buildah bud --isolation chroot ")
    assert "--build-arg BASE_IMAGE " in call
    assert call.endswith("BASE_IMAGE=base:1")
    assert built.image == "buildah localhost/ghcr-pull-secrets:0.1.0"


def test_buildah_without_a_base_gets_one_from_debootstrap(build: Build) -> None:
    programs = {"buildah": _BUILDAH, "debootstrap": _DEBOOTSTRAP}
    built = build(programs, {"BASE_STATUS": "1", "DEBIAN_SUITE": "sid", "DEBIAN_MIRROR": "file:///mirror"})
    assert [call.split()[:2] for call in built.calls] == [
        ["buildah", "inspect"],
        ["debootstrap", "--variant=minbase"],
        ["buildah", "from"],
        ["buildah", "add"],
        ["buildah", "commit"],
        ["buildah", "bud"],
    ]
    assert re.search(r" sid \S+/build/debian-sid file:///mirror $", built.calls[1])
    assert built.calls[-1].endswith("BASE_IMAGE=localhost/debian-python:sid")


def test_a_base_that_is_there_is_not_made_again(build: Build) -> None:
    built = build({"buildah": _BUILDAH, "debootstrap": _DEBOOTSTRAP})
    assert [call.split()[:2] for call in built.calls] == [["buildah", "inspect"], ["buildah", "bud"]]
    assert built.calls[-1].endswith("BASE_IMAGE=localhost/debian-python:trixie")


@pytest.mark.parametrize(
    ("programs", "environment", "uid", "said"),
    [
        ({}, {}, 0, "no docker engine answers, and there is no buildah"),
        ({"docker": _DOCKER}, {"DOCKER_STATUS": "1"}, 0, "no docker engine answers, and there is no buildah"),
        ({"docker": _DOCKER}, {"ENGINE": "podman"}, 0, "ENGINE is neither docker nor buildah"),
        ({"buildah": _BUILDAH}, {"BASE_STATUS": "1"}, 0, "there is no debootstrap to make a base with"),
        ({"buildah": _BUILDAH, "debootstrap": _DEBOOTSTRAP}, {"BASE_STATUS": "1"}, 1000, "debootstrap needs root"),
        (
            {"buildah": _BUILDAH, "debootstrap": _DEBOOTSTRAP},
            {"BASE_STATUS": "1", "DEBOOTSTRAP_STATUS": "1"},
            0,
            "debootstrap failed, see build/debian-trixie.log",
        ),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(
    build: Build, programs: dict[str, str], environment: dict[str, str], uid: int, said: str
) -> None:
    built = build(programs, environment, uid=uid)
    assert built.status == 1
    assert built.said.startswith(f"build-image: {said}")
    assert built.said.count("\n") == 1
    assert built.image is None
    assert not any("build " in call or "bud " in call for call in built.calls)


def test_a_build_that_fails_leaves_no_image_to_test(build: Build) -> None:
    assert build({"docker": _DOCKER}).image is not None
    built = build({"docker": _DOCKER + "exit 7\n"})
    assert (built.status, built.image) == (7, None)
