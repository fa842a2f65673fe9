"""`serve` takes its certificate from a Secret: what the Secret holds is served on the next connection, if it can be."""

import base64
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from certs.facts import CertificateFacts, KeyPair
from certs.files import current_generation
from certs.inspection import inspect
from certs.state import leaf_data
from standin import ApiServer
from tests.edges.cluster_script import eventually
from tests.edges.server_double import ROOT, Authority, Process
from webhook.server.certificate import CertificateFiles, SecretFiles, files_directory

pytestmark = pytest.mark.processes

NAMESPACE, NAME = "ghcr-pull-secrets", "hooks-tls"


@pytest.fixture
def authority() -> Authority:
    return Authority()


def data(authority: Authority, leaf: KeyPair | None = None) -> dict[str, bytes]:
    return leaf_data(leaf or authority.leaf(), authority.ca.certificate_pem)


# --- files ----------------------------------------------------------------------------------------------------------


def test_key_and_certificate_are_written_in_one_step(tmp_path: Path, authority: Authority) -> None:
    files, served = SecretFiles(tmp_path), CertificateFiles(tmp_path)
    pairs = [data(authority) for _ in range(40)]
    writing = threading.Event()

    def write() -> None:
        for pair in pairs:
            files.take(pair)
        writing.set()

    files.take(pairs[0])
    thread = threading.Thread(target=write)
    problems = set()
    with capture_logs():
        thread.start()
        while not writing.is_set():
            served.current()
            problems.add(served.problem)
        thread.join()
    # At this speed a pair can be two generations old, and gone, before it is read. The next look finds the new one.
    assert {problem for problem in problems if "FileNotFoundError" not in problem} == {""}
    current, last = served.current(), inspect(pairs[-1]["tls.crt"])
    assert isinstance(last, CertificateFacts)
    assert current is not None
    assert current.fingerprint == last.fingerprint


def spoilt(authority: Authority) -> dict[str, tuple[dict[str, bytes] | None, str]]:
    good = data(authority)
    return {
        "deleted": (None, "there is no such Secret"),
        "empty": ({}, "it has no tls.crt"),
        "no key": ({"tls.crt": good["tls.crt"]}, "it has no tls.key"),
        "foreign key": ({**good, "tls.key": authority.leaf().key_pem}, "tls.key is damaged or another certificate's"),
        "cut short": ({**good, "tls.crt": good["tls.crt"][:-40]}, "tls.crt is not exactly one PEM certificate"),
    }


@pytest.mark.parametrize("damage", ["deleted", "empty", "no key", "foreign key", "cut short"])
def test_what_cannot_be_served_is_not_written_and_reported_once(
    tmp_path: Path, authority: Authority, damage: str
) -> None:
    with capture_logs() as logs:
        files = SecretFiles(tmp_path)
        assert files.problem == "not read yet"
        files.take(data(authority))
        assert files.problem == ""
        generation = current_generation(tmp_path)
        content, problem = spoilt(authority)[damage]
        files.take(content)
        files.take(content)
        assert files.problem == problem
        assert current_generation(tmp_path) == generation
        files.take(data(authority))
        assert files.problem == ""
    assert [line["problem"] for line in logs if line["event"] == "certificate_secret_rejected"] == [problem]
    assert "PRIVATE" not in repr(logs)


def test_files_that_cannot_be_written_are_a_problem_until_they_can(tmp_path: Path, authority: Authority) -> None:
    blocked = tmp_path / "tls"
    blocked.write_text("a file where the directory should be")
    files = SecretFiles(blocked)
    with pytest.raises(OSError, match="tls"):
        files.take(data(authority))
    assert files.problem == "it could not be written"
    blocked.unlink()
    files.take(data(authority))
    assert files.problem == ""


FORKING = """
import os, sys
from webhook.server.certificate import files_directory

with files_directory(None) as directory:
    if os.fork() == 0:
        sys.exit()  # as a gunicorn worker ends: within the block it was forked in
    os.wait()
    print(oct(directory.stat().st_mode & 0o777), directory.is_dir())
print(directory.exists())
"""


def test_a_directory_of_our_own_is_private_and_goes_with_us_but_not_with_a_child() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, check=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["0o700", "True", "False"], "")


def test_a_chosen_directory_stays(tmp_path: Path) -> None:
    with files_directory(tmp_path) as directory:
        assert directory == tmp_path
    assert tmp_path.is_dir()


# --- the process ----------------------------------------------------------------------------------------------------


class Cluster:
    """The stand-in with the Secret."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def put(self, content: Mapping[str, bytes]) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in content.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "data": encoded}
        if self.api.store.get("secrets", NAMESPACE, NAME) is None:
            self.api.admin.create("secrets", NAMESPACE, obj)
        else:
            self.api.admin.update("secrets", NAMESPACE, obj)

    def delete(self) -> None:
        self.api.admin.delete("secrets", NAMESPACE, NAME)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ApiServer() as api:
        yield Cluster(api)


@contextmanager
def serving(cluster: Cluster, authority: Authority, *flags: str) -> Iterator[Process]:
    command = [
        sys.executable, "-m", "webhook", "serve", "--bind", "127.0.0.1:0", "--ops-bind", "127.0.0.1:0",
        "--namespace", NAMESPACE, "--tls-secret", NAME, "--kubeconfig", cluster.api.kubeconfig_file(),
        "--shutdown-delay", "0s", *flags,
    ]  # fmt: skip
    with Process(command, authority) as process:
        process.wait_for("listening")
        process.wait_for("started")
        yield process


def served(process: Process) -> str:
    """The fingerprint of the certificate that a new connection gets, checked as the API server checks it."""
    connection = process.connect()
    der = connection.sock.getpeercert(binary_form=True)
    connection.close()
    assert der is not None
    facts = inspect(ssl.DER_cert_to_PEM_cert(der).encode())
    assert isinstance(facts, CertificateFacts)
    return facts.fingerprint


def fingerprint(leaf: KeyPair) -> str:
    facts = inspect(leaf.certificate_pem)
    assert isinstance(facts, CertificateFacts)
    return facts.fingerprint


def test_a_server_waits_for_its_secret_and_follows_it(cluster: Cluster, authority: Authority) -> None:
    with serving(cluster, authority) as process:
        eventually(lambda: "certificate-secret failed: there is no such Secret" in process.ops("/readyz")[1])
        assert process.ops("/readyz")[0] == 503
        first = authority.leaf()
        cluster.put(data(authority, first))
        process.wait_ready()
        assert served(process) == fingerprint(first)
        kept = process.connect()
        for days in (20, 25):
            leaf = authority.leaf(days=days)
            cluster.put(data(authority, leaf))
            eventually(partial(serves, process, leaf))
            assert expiry(process) == leaf_end(leaf)
        assert process.post(connection=kept)[0] == 200, "connections are not cut"
        kept.close()
        assert 'ghcr_pull_secrets_watch_synced{resource="certificate"} 1.0' in process.ops("/metrics")[1]
        assert "[+]watch-certificate ok" in process.ops("/readyz?verbose")[1]


def serves(process: Process, leaf: KeyPair) -> bool:
    return served(process) == fingerprint(leaf)


def expiry(process: Process) -> float:
    name = "ghcr_pull_secrets_certificate_expiry_timestamp_seconds "
    (line,) = [line for line in process.ops("/metrics")[1].splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


def leaf_end(leaf: KeyPair) -> float:
    facts = inspect(leaf.certificate_pem)
    assert isinstance(facts, CertificateFacts)
    return facts.not_after.timestamp()


def test_no_connection_fails_while_secrets_are_replaced(cluster: Cluster, authority: Authority) -> None:
    leaves = [authority.leaf() for _ in range(30)]
    cluster.put(data(authority, leaves[0]))
    with serving(cluster, authority) as process:
        process.wait_ready()
        stop = threading.Event()
        seen: set[str] = set()
        failed: list[Exception] = []

        def connect() -> None:
            while not stop.is_set():
                try:
                    seen.add(served(process))
                except (OSError, AssertionError) as error:
                    failed.append(error)

        threads = [threading.Thread(target=connect) for _ in range(2)]
        for thread in threads:
            thread.start()
        for leaf in leaves:
            cluster.put(data(authority, leaf))
            time.sleep(0.05)
        eventually(lambda: served(process) == fingerprint(leaves[-1]))
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(seen) > 5
        assert seen <= {fingerprint(leaf) for leaf in leaves}


@pytest.mark.parametrize("damage", ["deleted", "foreign key"])
def test_a_damaged_secret_leaves_the_last_good_pair_served_and_shows(
    cluster: Cluster, authority: Authority, damage: str
) -> None:
    leaf = authority.leaf()
    cluster.put(data(authority, leaf))
    with serving(cluster, authority) as process:
        process.wait_ready()
        content, problem = spoilt(authority)[damage]
        if content is None:
            cluster.delete()
        else:
            cluster.put(content)
        said = f"[-]certificate-secret failed: {problem} (does not make it unready)"
        eventually(lambda: said in process.ops("/readyz?verbose")[1])
        assert process.ops("/readyz") == (200, "ok")
        assert served(process) == fingerprint(leaf)
        # A worker that is replaced meanwhile finds the last good pair too.
        (worker,) = process.workers()
        os.kill(worker, signal.SIGKILL)
        process.wait_for("started", count=2)
        eventually(lambda: served(process) == fingerprint(leaf))
        fixed = authority.leaf()
        cluster.put(data(authority, fixed))
        eventually(lambda: served(process) == fingerprint(fixed))
        assert "[+]certificate-secret ok" in process.ops("/readyz?verbose")[1]
        assert "PRIVATE KEY" not in "".join(process.raw)


def test_the_files_are_gone_with_the_process(cluster: Cluster, authority: Authority) -> None:
    leaf = authority.leaf()
    cluster.put(data(authority, leaf))

    def written() -> list[Path]:
        found = []
        for parent in (Path("/dev/shm"), Path(tempfile.gettempdir())):
            for file in parent.glob("ghcr-pull-secrets-*/tls.crt"):
                with suppress(OSError):  # another test's, going
                    found += [file] if file.read_bytes() == leaf.certificate_pem else []
        return found

    with serving(cluster, authority) as process:
        process.wait_ready()
        (file,) = written()
        process.signal()
        assert process.wait() == 0
        assert not file.parent.exists()


def test_files_of_an_operator_are_served_and_no_secret_is_asked_for(
    cluster: Cluster, authority: Authority, tmp_path: Path
) -> None:
    leaf = authority.leaf()
    SecretFiles(tmp_path).take(data(authority, leaf))
    with serving(cluster, authority, "--tls-dir", str(tmp_path)) as process:
        process.wait_ready()
        assert served(process) == fingerprint(leaf)
        assert "certificate-secret" not in process.ops("/readyz?verbose")[1]
        assert NAME not in {entry.info.name for entry in cluster.api.requests}
