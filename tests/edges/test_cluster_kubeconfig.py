"""Kubeconfig files are found, merged and read as the real kubectl does it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.machinery.kube import kubectl_path
from tests.edges.cluster_script import Script, scripted
from tests.objects import CANARY
from webhook.cluster import kubeconfig
from webhook.cluster.access import Unreachable
from webhook.cluster.connecting import connect_as_kubectl, contexts
from webhook.cluster.kubeconfig import KubeconfigError, Selection
from webhook.cluster.requests import Target, Verb
from webhook.ports import Deadline

GET = Target(verb=Verb.GET, resource="secrets", namespace="a", name="ghcr-secret")

Document = dict[str, Any]
Write = Callable[..., Path]


def document(name: str, *, server: str = "", current: bool = True, **context: str) -> Document:
    """A kubeconfig with a cluster, a user and a context, all of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        **({"current-context": name} if current else {}),
        "clusters": [{"name": name, "cluster": {"server": server or f"https://{name}.example"}}],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file, and give its path."""

    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def environment(*paths: Path | str) -> dict[str, str]:
    return {"KUBECONFIG": os.pathsep.join(map(str, paths))}


def chosen(environ: Mapping[str, str], context: str | None = None, explicit: Path | None = None) -> Selection:
    found = kubeconfig.load(kubeconfig.candidates(explicit, environ), must_exist=explicit is not None)
    assert found is not None
    return kubeconfig.select(found, context)


def kubectl(environ: Mapping[str, str], *arguments: str) -> Any:
    """Ask the real kubectl what the configuration comes to; `None` if it refuses."""
    done = subprocess.run(
        [kubectl_path(), "config", "view", "--raw", "--minify", "-o", "json", *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


A, B = document("a", namespace="of-a"), document("b")
CASES: dict[str, tuple[list[object], str | None]] = {
    "one file": ([A], None),
    "the first one's context is current": ([A, B], None),
    "a first one without a current context": ([document("a", current=False), B], None),
    "an empty first one": (["", A], None),
    "--context": ([A, B], "b"),
    "of one name, the first entry counts and nothing of the second": (
        [document("a"), {**document("a", namespace="lost"), "users": [{"name": "a", "user": {"username": "lost"}}]}],
        None,
    ),
    "an entry that names what another file has": (
        [{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "a", "user": "b"}}]}, A, B],
        None,
    ),
    "a context without a user": (
        [{**A, "contexts": [{"name": "a", "context": {"cluster": "a"}}]}],
        None,
    ),
    "null where a list could be": ([{**A, "users": [{"name": "a", "user": None}]}, {"clusters": None}], None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_several_files_come_to_what_kubectl_makes_of_them(case: str, write: Write) -> None:
    contents, context = CASES[case]
    environ = environment(*(write(f"{index}.yaml", content) for index, content in enumerate(contents)))

    ours = chosen(environ, context)
    theirs = kubectl(environ, *(["--context", context] if context else []))

    assert ours.context == theirs["current-context"]
    assert ours.namespace == theirs["contexts"][0]["context"].get("namespace", "")
    assert ours.cluster == theirs["clusters"][0]["cluster"]
    assert ours.user == (theirs["users"] or [{"user": {}}])[0]["user"]


def test_files_that_are_missing_or_named_twice_or_not_at_all_are_passed_over(write: Write, tmp_path: Path) -> None:
    path = write("a.yaml", A)
    environ = environment("", tmp_path / "none", path, path, "")

    assert chosen(environ).context == kubectl(environ)["current-context"] == "a"
    assert kubeconfig.load([tmp_path / "none"]) is None


def test_the_home_directory_is_looked_into_where_the_variable_is_not_set(write: Write, tmp_path: Path) -> None:
    write(".kube/config", A)
    home = {"HOME": str(tmp_path)}

    assert chosen(home).context == kubectl(home)["current-context"] == "a"
    # An empty variable is none; one that is set goes before, even where nothing is there.
    assert chosen({**home, "KUBECONFIG": ""}).context == "a"
    assert kubeconfig.candidates(None, {**home, "KUBECONFIG": "none"}) == (Path("none"),)
    assert kubeconfig.candidates(None, {}) == ()


def test_an_explicit_file_is_the_only_one(write: Write, tmp_path: Path) -> None:
    environ = environment(write("a.yaml", A))

    assert chosen(environ, explicit=write("b.yaml", B)).context == "b"
    with pytest.raises(KubeconfigError, match="none does not exist"):
        chosen(environ, explicit=tmp_path / "none")


def test_a_relative_path_is_beside_the_file_that_holds_it(write: Write, tmp_path: Path) -> None:
    paths = {"client-certificate": "tls/crt", "client-key": "../key", "tokenFile": "/abs/token"}
    user = {**paths, "exec": {"command": "./plugin", "apiVersion": "v1"}}
    content = {
        **A,
        "clusters": [{"name": "a", "cluster": {"server": "https://a", "certificate-authority": "ca.crt"}}],
        "users": [{"name": "a", "user": user}, {"name": "b", "user": {"exec": {"command": "on-the-path"}}}],
    }
    found = chosen(environment(write("sub/a.yaml", content)))
    folder = tmp_path / "sub"

    assert found.cluster["certificate-authority"] == str(folder / "ca.crt")
    assert found.user["client-certificate"] == str(folder / "tls" / "crt")
    assert Path(found.user["client-key"]).resolve() == tmp_path / "key"
    assert found.user["tokenFile"] == "/abs/token"
    assert Path(found.user["exec"]["command"]) == folder / "plugin"
    merged = kubeconfig.merge([(folder / "a.yaml", content)])
    assert merged.users["b"]["exec"] == {"command": "on-the-path"}


REFUSED: dict[str, tuple[object, str | None, str]] = {
    "no YAML": (f"users: [{CANARY}", None, "a.yaml is no YAML"),
    "nested too deep": ("[" * 20_000, None, "a.yaml is no YAML"),
    "no mapping": ([CANARY], None, "a.yaml: expected a mapping, found array"),
    "clusters that are no list": ({**A, "clusters": 7}, None, "a.yaml: clusters: expected a list, found number"),
    "an entry that is none": ({**A, "users": [CANARY]}, None, "a.yaml: users[0]: expected a mapping, found string"),
    "a name that is none": ({**A, "users": [{"name": 7}]}, None, "a.yaml: users[0].name: expected a string, found number"),
    "an entry twice": ({**A, "users": A["users"] * 2}, None, "a.yaml: users[1].name is that of an entry before it"),
    "a user that is none": (
        {**A, "users": [{"name": "a", "user": CANARY}]},
        None,
        "a.yaml: users[0].user: expected a mapping, found string",
    ),
    "a current context that is no text": ({**A, "current-context": 7}, None, "a.yaml: current-context: expected a string, found number"),
    "no current context": (document("a", current=False), None, "no context is current; choose one with --context (there are: a)"),
    "an unknown context": (A, "b", "there is not a context of that name (there are: a)"),
    "an unknown current context": ({**A, "current-context": "b"}, None, "there is not the context that it says is current (there are: a)"),
    "an unknown cluster": ({**A, "clusters": []}, None, "context a names a cluster that is not there (there are none)"),
    "an unknown user": ({**A, "users": []}, None, "context a names a user that is not there (there are none)"),
    "a cluster without a server": ({**A, "clusters": [{"name": "a", "cluster": {}}]}, None, "cluster a has no server"),
    "a server that is no URL": (
        {**A, "clusters": [{"name": "a", "cluster": {"server": "nonsense"}}]},
        None,
        "the server of cluster a is no URL (https://HOST:PORT)",
    ),
    "a CA that is not base64": (
        {**A, "clusters": [{"name": "a", "cluster": {"server": "https://a", "certificate-authority-data": f"!{CANARY}"}}]},
        None,
        "cluster a: certificate-authority-data is not base64",
    ),
    "a certificate that is no text": (
        {**A, "users": [{"name": "a", "user": {"client-certificate-data": 7}}]},
        None,
        "user a: client-certificate-data: expected a string, found number",
    ),
    "an impersonation": (
        {**A, "users": [{"name": "a", "user": {"token": CANARY, "as": "admin"}}]},
        None,
        "user a impersonates another one (as), which is not supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_said_by_field_and_kind(case: str, write: Write, tmp_path: Path) -> None:
    content, context, said = REFUSED[case]
    path = write("a.yaml", content)

    with pytest.raises(Unreachable) as caught:
        connect_as_kubectl(None, context, environment(path))

    assert str(caught.value).replace(f"{tmp_path}{os.sep}", "") == f"cannot reach an API server by a.yaml: {said}"
    assert CANARY not in repr(caught.getrepr(style="long"))


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in REFUSED
        if case not in ("an impersonation", "a cluster without a server", "a server that is no URL")
    ],
)
def test_kubectl_refuses_it_too(case: str, write: Write) -> None:
    content, context, _ = REFUSED[case]

    assert kubectl(environment(write("a.yaml", content)), *(["--context", context] if context else [])) is None


@pytest.mark.parametrize("command", ["nothing-there", "false"])
def test_a_credential_plugin_that_gives_none_is_said_and_nobody_is_asked_as_nobody(write: Write, command: str) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command}
    path = write("a.yaml", {**A, "users": [{"name": "a", "user": {"exec": plugin}}]})

    with pytest.raises(Unreachable, match=r"the credential plugin of the user \(exec\) gave no credential"):
        connect_as_kubectl(None, None, environment(path))


def test_a_file_is_read_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(kubeconfig.MAX_BYTES + 1)

    with pytest.raises(KubeconfigError, match="large is larger than 4 MiB"):
        kubeconfig.load([path])


def test_a_directory_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="cannot be read: Is a directory"):
        kubeconfig.load([tmp_path])


def test_no_more_names_are_shown_than_a_line_holds(write: Write) -> None:
    many = {**A, "contexts": [{"name": f"c{index:03}", "context": {}} for index in range(200)]}

    with pytest.raises(KubeconfigError) as caught:
        chosen(environment(write("a.yaml", many)), "x")

    assert str(caught.value).endswith(
        "(there are: c000, c001, c002, c003, c004, c005, c006, c007, c008, c009 and 190 more)"
    )


# --- connecting


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(lambda request: request.json({"metadata": {}})) as script:
        yield script


def test_the_chosen_cluster_is_asked_with_the_chosen_token(script: Script, write: Write) -> None:
    environ = environment(write("a.yaml", A), write("b.yaml", document("b", server=script.url, namespace="of-b")))

    connection = connect_as_kubectl(None, "b", environ)
    connection.client.request(GET, Deadline.after(5))
    connection.client.close()

    assert (connection.where, connection.namespace) == ("context b", "of-b")
    (request,) = script.requests
    assert request.headers["Authorization"] == "Bearer token-of-b"


def test_a_token_that_was_replaced_in_a_file_is_read_again(script: Script, write: Write) -> None:
    content = document("a", server=script.url)
    environ = environment(write("a.yaml", content))
    connection = connect_as_kubectl(None, None, environ)
    content["users"][0]["user"]["token"] = "renewed"
    write("a.yaml", content)

    def answer(request: Any) -> None:
        request.json({}, 200 if request.headers["Authorization"] == "Bearer renewed" else 401)

    script.answer = answer
    connection.client.request(GET, Deadline.after(5))
    connection.client.close()

    assert len(script.requests) == 2


def test_in_a_pod_without_a_kubeconfig_it_is_the_pods_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from webhook.cluster import connecting  # noqa: PLC0415
    from webhook.cluster.access import in_cluster  # noqa: PLC0415

    (tmp_path / "token").write_text("mounted")
    (tmp_path / "ca.crt").write_text("not looked at before the first connection")
    (tmp_path / "namespace").write_text("of-the-pod\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(connecting, "in_cluster", lambda: in_cluster(str(tmp_path / "token"), str(tmp_path / "ca.crt")))
    environ = {"KUBECONFIG": str(tmp_path / "none")}

    def connect(context: str | None = None, namespace: str = "namespace") -> connecting.ChosenCluster:
        return connect_as_kubectl(None, context, environ, namespace_file=tmp_path / namespace)

    assert (connect().where, connect().namespace) == ("the cluster of this Pod", "of-the-pod")
    assert connect(namespace="none").namespace == ""
    with pytest.raises(Unreachable, match="there is no such file, and so no context"):
        connect("a")


def test_with_nothing_at_all_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(Unreachable) as caught:
        connect_as_kubectl(None, None, {"KUBECONFIG": "x:y"})

    assert str(caught.value) == "cannot reach an API server by x, y: there is no such file, and this is no Pod"


def test_contexts_are_listed_where_they_can_be(write: Write) -> None:
    assert contexts(None, environment(write("a.yaml", A), write("b.yaml", B))) == ("a", "b")
    assert contexts(write("b.yaml", B), environment("none")) == ("b",)
    assert contexts(None, environment("none")) == ()
    assert contexts(None, environment(write("bad.yaml", "["))) == ()
