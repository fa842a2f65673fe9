"""`python -m certs issue`, as a person types it."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certs.__main__ import main
from certs.authority import issue_leaf, new_ca
from certs.facts import CertificateFacts
from certs.inspection import inspect

pytestmark = pytest.mark.processes

NAME = "hooks.ops.svc"


def issue(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["issue", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts_of(directory: Path) -> CertificateFacts:
    facts = inspect(
        (directory / "tls.crt").read_bytes(), (directory / "tls.key").read_bytes(), (directory / "ca.crt").read_bytes()
    )
    assert isinstance(facts, CertificateFacts)
    return facts


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_issue_writes_a_certificate_its_key_and_its_ca(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "tls"
    result = issue("--dns-name", NAME, "--dns-name", "localhost", "--out", out)
    assert result.exit_code == 0, result.output
    facts = facts_of(out)
    assert facts.dns_names == (NAME, "localhost")
    assert facts.key_matches
    assert len(facts.signed_by) == 1
    assert timedelta(days=89) < facts.not_after - datetime.now(UTC) <= timedelta(days=90)
    assert sorted(path.name for path in out.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]
    assert (mode(out), mode(out / "tls.key"), mode(out / "tls.crt")) == (0o700, 0o600, 0o644)
    assert "PRIVATE KEY" not in result.output


def test_days_sets_the_life_of_the_certificate(tmp_path: Path) -> None:
    assert issue("--dns-name", NAME, "--out", tmp_path, "--days", "3").exit_code == 0
    assert facts_of(tmp_path).not_after - datetime.now(UTC) <= timedelta(days=3)


def test_what_is_there_is_overwritten_only_with_force(tmp_path: Path) -> None:
    assert issue("--dns-name", NAME, "--out", tmp_path).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = issue("--dns-name", NAME, "--out", tmp_path)
    assert refused.exit_code == 1
    assert "tls.key" in refused.output
    assert "--force" in refused.output
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    (tmp_path / "tls.key").chmod(0o644)
    assert issue("--dns-name", NAME, "--out", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "tls.key").read_bytes() != before["tls.key"]
    assert mode(tmp_path / "tls.key") == 0o600
    assert facts_of(tmp_path).key_matches


def test_a_dangling_link_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "tls.key").symlink_to("nowhere")
    assert issue("--dns-name", NAME, "--out", tmp_path).exit_code == 1


def test_a_ca_directory_is_filled_once_and_reused(tmp_path: Path) -> None:
    ca_dir = tmp_path / "ca"
    assert issue("--dns-name", NAME, "--out", tmp_path / "a", "--ca-dir", ca_dir).exit_code == 0
    before = {path.name: path.read_bytes() for path in ca_dir.iterdir()}
    assert sorted(before) == ["ca.crt", "ca.key"]
    assert (mode(ca_dir), mode(ca_dir / "ca.key")) == (0o700, 0o600)

    assert issue("--dns-name", "other.ops.svc", "--out", tmp_path / "b", "--ca-dir", ca_dir, "--force").exit_code == 0
    assert {path.name: path.read_bytes() for path in ca_dir.iterdir()} == before
    assert facts_of(tmp_path / "a").signed_by == facts_of(tmp_path / "b").signed_by != ()


def test_the_ca_may_live_beside_what_it_signs(tmp_path: Path) -> None:
    arguments = ("--dns-name", NAME, "--out", tmp_path, "--ca-dir", tmp_path)
    assert issue(*arguments).exit_code == 0
    first = facts_of(tmp_path)
    (tmp_path / "tls.key").unlink()
    (tmp_path / "tls.crt").unlink()
    assert issue(*arguments).exit_code == 0
    assert facts_of(tmp_path).signed_by == first.signed_by
    assert issue(*arguments).exit_code == 1


@pytest.mark.parametrize("missing", ["ca.crt", "ca.key"])
def test_half_a_ca_is_an_error_and_is_left_alone(tmp_path: Path, missing: str) -> None:
    ca_dir = tmp_path / "ca"
    assert issue("--dns-name", NAME, "--out", tmp_path / "a", "--ca-dir", ca_dir).exit_code == 0
    (ca_dir / missing).unlink()
    result = issue("--dns-name", NAME, "--out", tmp_path / "b", "--ca-dir", ca_dir)
    assert result.exit_code == 1
    assert f"{missing}: No such file" in result.output
    assert not (tmp_path / "b").exists()
    assert len(list(ca_dir.iterdir())) == 1


def test_a_ca_that_cannot_sign_is_an_error_that_says_why(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca, other = (new_ca(common_name=name, now=now) for name in ("one", "two"))
    leaf = issue_leaf(ca, dns_names=[NAME], now=now)
    old = new_ca(common_name="old", now=now - timedelta(days=9), validity=timedelta(days=1))
    for certificate, key, problem in (
        (b"damaged", ca.key_pem, "not exactly one PEM certificate"),
        (ca.certificate_pem, other.key_pem, "its key is damaged or another's"),
        (ca.certificate_pem, b"damaged", "its key is damaged or another's"),
        (leaf.certificate_pem, leaf.key_pem, "its certificate is not a CA's"),
        (old.certificate_pem, old.key_pem, "it expired"),
    ):
        (tmp_path / "ca.crt").write_bytes(certificate)
        (tmp_path / "ca.key").write_bytes(key)
        result = issue("--dns-name", NAME, "--out", tmp_path / "out", "--ca-dir", tmp_path)
        assert result.exit_code == 1
        assert problem in result.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "x"],
        ["--dns-name", NAME],
        ["--dns-name", NAME, "--out", "x", "--days", "0"],
        ["--dns-name", NAME, "--out", "x", "--days", "3651"],
        ["--dns-name", "127.0.0.1", "--out", "x"],
        ["--dns-name", "not a name", "--out", "x"],
    ],
)
def test_a_wrong_command_line_exits_with_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert issue(*arguments).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = issue("--dns-name", NAME, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "Not a directory" in result.output


def test_help_names_every_option_and_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "certs", "issue", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    for word in ("--dns-name", "--out", "--days", "--ca-dir", "--force", "0600", "Exits with 0", "python -m certs"):
        assert word in done.stdout
