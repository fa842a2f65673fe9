"""`ghcr-pull-secrets check` as it is called: its flags, its exit codes, what it writes, and what it cannot read."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.check.published import sarif_faults
from tests.objects import CANARY, workload
from webhook.check import sources
from webhook.check.manifests import Trouble
from webhook.check.sources import Sources, Text

pytestmark = pytest.mark.processes

POD = yaml.safe_dump(workload("Deployment"), sort_keys=False)
OUT = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: auth, labels: {ghcr-pull-secrets.io/inject: 'false'}}\n"


def run(
    folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "webhook", "check", *arguments],
        cwd=folder,
        input=stdin.encode(),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "a.yaml").write_text(POD)
    (tmp_path / "k8s" / "ns.yml").write_text(OUT)
    (tmp_path / "k8s" / "notes.txt").write_text("kind: [")
    (tmp_path / "k8s" / "package.json").write_text("{ // no JSON")
    return tmp_path


def test_nothing_to_find_is_0_and_a_finding_1_and_what_cannot_be_read_2(folder: Path) -> None:
    clean = run(folder, "-", stdin=POD)
    assert (clean.returncode, clean.stderr) == (0, b"")
    found = run(folder, "k8s")
    assert found.returncode == 1
    assert "✗ k8s/a.yaml:1   Deployment auth/auth-api   not_listed" in found.stdout.decode()
    broken = run(folder, "k8s", "-", stdin="a: [")
    assert broken.returncode == 2
    assert b"stdin:2: not YAML" in broken.stdout
    assert run(folder, "k8s", "--fail-on", "never").returncode == 0
    (folder / "values.yaml").write_text("enforcement: warn\n")
    assert run(folder, "k8s", "--values", "values.yaml").returncode == 0
    assert run(folder, "k8s", "--values", "values.yaml", "--fail-on", "warn").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name files or folders"),
        (["k8s", "--assume-secret", "a"], "--assume-secret: expected NAMESPACE/NAME"),
        (["k8s", "-o", "xml"], "--output: expected FORMAT"),
        (["k8s", "-o", "text", "-o", "json"], "--output: only one format"),
        (["k8s", "--release-namespace", "A B"], "--release-namespace: expected the name of a namespace"),
        (["k8s", "-n", "A B"], "--namespace: expected the name of a namespace"),
        (["k8s", "--include", "nonsense"], "--include: pattern 1 of 1"),
        (["k8s", "--values", "none.yaml"], "none.yaml cannot be read: no such file"),
        (["k8s", "--values", "bad.yaml"], "enforcement: expected one of deny, warn, off"),
        (["k8s", "--values", "broken.yaml"], "broken.yaml:2: "),
        (["k8s", "--values", "list.yaml"], "--values: expected an object, got array"),
        (["k8s", "-o", "sarif=nowhere/x"], "nowhere/x: cannot be written: no such file"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_2(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "bad.yaml").write_text("enforcement: strict\nimages: {include: ghcr.io}\nextraWorkloadKinds: [1]\n")
    (folder / "broken.yaml").write_text("a: [\n")
    (folder / "list.yaml").write_text("- a\n")
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line as a shell does, redirections included; `$CHECK` is the command."""
    check = f"{shlex.quote(sys.executable)} -m webhook check"
    return subprocess.run(
        ["bash", "-c", command.replace("$CHECK", check)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("$CHECK - <&-", 2, b"stdin:1: cannot be read: it is closed"),
        ("$CHECK k8s/a.yaml >/dev/full", 2, b"standard output: cannot be written: no space left on device"),
        ("$CHECK k8s >&-", 1, b""),
        ("$CHECK k8s/a.yaml >&-", 0, b""),
        ("$CHECK k8s | head -c 1", 0, b""),
        ('$CHECK ""', 2, b"a path is empty"),
    ],
)
def test_standard_streams_that_are_closed_or_full_are_no_traceback_and_no_finding(
    folder: Path, command: str, code: int, said: bytes
) -> None:
    done = shell(folder, command)

    assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
    assert b"Exception ignored" not in done.stderr
    assert said in done.stdout + done.stderr


def test_a_files_name_is_no_control_sequence_and_no_line_of_its_own(folder: Path) -> None:
    name = "k8s/a\n::error::x\x1b[31m.yaml"
    (folder / name).write_text(POD)
    (folder / f"{name}.yml").write_text("kind: Pod\nx: [\n")
    done = run(folder, "k8s", "--no-assume-installed")

    assert b"\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith(b"::")]
    assert done.stdout.count(b"k8s/a?::error::x?[31m.yaml") == 2


def test_the_charts_values_decide_and_flags_go_before_them(folder: Path) -> None:
    (folder / "values.yaml").write_text(
        "images: {include: ['quay.io/*']}\nextraWorkloadKinds: [{group: x.io, version: v1, resource: things, podTemplate: /spec/t}]\n"
    )
    assert b"0 workloads" in run(folder, "k8s", "--values", "values.yaml").stdout
    assert run(folder, "k8s", "--values", "values.yaml", "--include", "ghcr.io/*").returncode == 1
    thing = "apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: a}\nspec: {t: {spec: {containers: [{image: quay.io/a/b}]}}}\n"
    assert b"1 workload with" in run(folder, "-", "--values", "values.yaml", stdin=thing).stdout
    (folder / "more.yaml").write_text(
        "centralSecret: {create: {enabled: true, entries: [{registry: ghcr.io/other/, username: u, token: "
        + CANARY
        + "}]}}\n"
    )
    refused = run(folder, "-", "--values", "more.yaml", stdin=POD)
    assert refused.returncode == 1
    assert b"central_unusable" in refused.stdout
    assert CANARY.encode() not in refused.stdout
    assert run(folder, "-", "--values", "more.yaml", "--exclude", "ghcr.io/sesacthon/*", stdin=POD).returncode == 0


def test_every_output_at_once_each_as_its_readers_want_it(folder: Path) -> None:
    (folder / "k8s" / "bad name é.yaml").write_text("kind: Pod\na: [\n")
    done = run(
        folder, "k8s", "-o", "github", "-o", "json=o.json", "-o", "sarif=o.sarif", "-o", "junit=o.xml", "-o", "text=o.txt",
        env={"GITHUB_STEP_SUMMARY": str(folder / "summary.md")},
    )  # fmt: skip
    assert done.returncode == 2
    said = done.stdout.decode().splitlines()
    assert said[0].startswith("::error file=k8s/bad name é.yaml,line=3,title=could not be read::not YAML")
    assert said[1].startswith(
        "::error file=k8s/a.yaml,line=14,title=Deployment auth/auth-api%3A not_listed::container c0"
    )
    assert "%0A" in said[1]
    assert "k8s/a.yaml:14 | Deployment auth/auth-api | not\\_listed" in (folder / "summary.md").read_text()
    assert "✗ k8s/a.yaml:1" in (folder / "o.txt").read_text()
    report = json.loads((folder / "o.json").read_text())
    assert report["version"] == 1
    assert [each["reason"] for each in report["findings"]] == ["not_listed"]
    log = json.loads((folder / "o.sarif").read_text())
    assert sarif_faults(log) == []
    (one,) = log["runs"]
    assert one["invocations"][0]["executionSuccessful"] is False
    assert one["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 14
    rules = one["tool"]["driver"]["rules"]
    assert rules[one["results"][0]["ruleIndex"]]["id"] == one["results"][0]["ruleId"] == "not_listed"
    suites = ET.fromstring((folder / "o.xml").read_text())
    assert (suites.tag, suites[0].tag) == ("testsuites", "testsuite")
    assert {key: suites[0].get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "1",
        "errors": "1",
    }
    assert [(case.get("name"), case.get("file"), case[0].tag) for case in suites[0]] == [
        ("Deployment auth/auth-api", "k8s/a.yaml", "failure"),
        ("could not be read", "k8s/bad name é.yaml", "error"),
    ]


def test_the_fix_is_shown_or_written_and_then_checked_again(folder: Path) -> None:
    file = folder / "k8s" / "a.yaml"
    shown = run(folder, "k8s", "--diff")
    assert shown.returncode == 1
    assert b"+      imagePullSecrets:\n+      - name: ghcr-secret\n" in shown.stdout
    assert file.read_text() == POD
    written = run(folder, "k8s", "--fix", "--assume-secret", "auth/ghcr-secret")
    assert written.returncode == 0, written.stdout
    assert b"1 on trust; 1 fixed" in written.stdout
    assert yaml.safe_load(file.read_text())["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    assert b"standard input" in run(folder, "-", "--fix", "--no-assume-installed", stdin=POD).stdout


def test_a_terminal_without_the_characters_gets_others(folder: Path) -> None:
    done = run(folder, "k8s", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 1
    assert done.stdout.startswith(b"? k8s/a.yaml:1")


def read(*paths: str, skip: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    found = list(Sources(io.BytesIO(), skip).read(paths))
    return (
        [each.name for each in found if isinstance(each, Text)],
        [f"{each.file}: {each.problem}" for each in found if isinstance(each, Trouble)],
    )


def test_folders_are_walked_in_order_each_file_once_and_loops_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "k8s" / "up").symlink_to(folder / "k8s")
    (folder / "k8s" / "again.yaml").symlink_to("a.yaml")
    (folder / "k8s" / "self.yaml").symlink_to("self.yaml")
    (folder / "k8s" / ".hidden").mkdir()
    (folder / "k8s" / ".hidden" / "x.yaml").write_text(POD)
    os.mkfifo(folder / "k8s" / "pipe.yaml")
    assert read("k8s", "k8s/a.yaml") == (
        ["k8s/a.yaml", "k8s/ns.yml", "k8s/package.json"],
        ["k8s/self.yaml: cannot be read: too many levels of symbolic links"],
    )
    assert read("k8s", skip=("k8s/[ps]*",))[0] == ["k8s/a.yaml", "k8s/ns.yml"]


def test_what_is_no_text_too_large_or_not_there_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sources, "MAX_BYTES", 1 << 10)
    (folder / "binary.yaml").write_bytes(b"\x7fELF\0\xff\xfe")
    (folder / "nul.yaml").write_bytes(b"kind: Pod\0")
    (folder / "latin.yaml").write_bytes("a: b\nname: é\n".encode("latin-1"))
    (folder / "wide.yaml").write_bytes(POD.encode("utf-16"))
    (folder / "large.yaml").write_text("#" * 2000)
    names, told = read("binary.yaml", "nul.yaml", "latin.yaml", "wide.yaml", "large.yaml", "none.yaml")
    assert names == ["wide.yaml"]
    assert told == [
        "binary.yaml: is no text",
        "nul.yaml: is no text",
        "latin.yaml: is not UTF-8",
        "large.yaml: is larger than 0 MiB",
        "none.yaml: cannot be read: no such file or directory",
    ]


def test_no_more_files_are_read_than_the_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    assert read("k8s") == (["k8s/a.yaml"], ["k8s/ns.yml: no more than 1 files are read in one run"])


def test_a_folder_that_may_not_be_read_is_reported(folder: Path) -> None:
    script = (
        "import os, sys, io; from webhook.check.sources import Sources\n"
        "os.chmod('k8s', 0)\n"
        "if os.geteuid() == 0: os.setuid(65534)  # root may read everything\n"
        "print([each.problem for each in Sources(io.BytesIO()).read(['k8s', 'k8s/a.yaml'])])"
    )
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    (folder / "k8s").chmod(0o755)
    assert done.stdout.strip() == "['cannot be read: permission denied', 'cannot be read: permission denied']", (
        done.stderr
    )
