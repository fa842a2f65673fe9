"""The central secret that the chart makes, by itself or through the External Secrets Operator: what a kubelet finds in it."""

import base64
import json
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests import helm
from tests.chart import platforms
from tests.chart.switches import ON, SWITCHES
from tests.docs import commands
from tests.objects import CANARY
from webhook.core.keyring import Keyring

TYPE = "kubernetes.io/dockerconfigjson"
BOTH = {"images": {"include": ["ghcr.io/*"]}}
# Two that begin alike, and one for what is left of the host.
ENTRIES = [
    {"registry": "ghcr.io/org-a/", "username": "alice", "token": 'a"b\\c'},
    {"registry": "ghcr.io/org-ab/", "username": "bob", "token": "<&>"},
    {"registry": "ghcr.io", "username": "rest", "token": "ü"},
]


def created(create: dict[str, Any]) -> Keyring:
    secret = helm.select(helm.render({**BOTH, "centralSecret": {"create": {**ON, **create}}}), "Secret")
    return Keyring.from_secret(secret["type"], base64.b64decode(secret["data"][".dockerconfigjson"]))


def found(keyring: Keyring, repository: str) -> list[tuple[str, str]]:
    return [(each.username, each.password) for each in keyring.lookup(repository)]


def operator_fills(spec: dict[str, Any], store: dict[tuple[str, str | None], str], folder: Path) -> Keyring:
    """What the operator makes of an ExternalSecret: its template is Go's with sprig's functions, as Helm's is."""
    data = {
        each["secretKey"]: store[each["remoteRef"]["key"], each["remoteRef"].get("property")] for each in spec["data"]
    }
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: operator\nversion: 0.0.0\n")
    (folder / "templates" / "filled.txt").write_text(
        '{{ tpl .Values.text (merge (dict "Template" .Template) .Values.data) }}'
    )
    template = spec["target"]["template"]
    with helm_python.Chart.load(folder) as chart:
        (filled,) = chart.render({"text": template["data"][".dockerconfigjson"], "data": data}).values()
    return Keyring.from_secret(template["type"], filled.encode())


def external(values: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = helm.select(helm.render(values), "ExternalSecret")["spec"]
    return spec


def test_organisations_of_one_registry_have_their_own_tokens() -> None:
    keyring = created({"entries": ENTRIES})

    assert found(keyring, "ghcr.io/org-a/app")[0] == ("alice", 'a"b\\c')
    assert found(keyring, "ghcr.io/org-ab/app")[0] == ("bob", "<&>")
    assert found(keyring, "ghcr.io/other/app") == [("rest", "ü")]
    # Tried in this order; never the neighbour's.
    assert found(keyring, "ghcr.io/org-a/app") == [("alice", 'a"b\\c'), ("rest", "ü")]


def test_without_the_closing_slash_a_neighbour_is_given_the_token_too() -> None:
    keyring = created({"entries": [{"registry": "ghcr.io/org-a", "username": "alice", "token": "t"}]})

    assert found(keyring, "ghcr.io/org-ab/app") == [("alice", "t")]


def test_the_flat_form_is_one_entry() -> None:
    assert found(created({"username": "octocat", "token": "t"}), "ghcr.io/a/b") == [("octocat", "t")]


def test_two_organisations_of_the_documentation_have_their_own_tokens(tmp_path: Path) -> None:
    (block,) = (each for each in commands.blocks(commands.DOCS / "install.md") if "entries:" in each.text)
    store: dict[tuple[str, str | None], str] = {
        (f"/org-{letter}/ghcr/{what}", None): f"{what} of {letter}" for letter in "ab" for what in ("username", "token")
    }

    keyring = operator_fills(external(yaml.safe_load(block.text)), store, tmp_path)

    for letter in "ab":
        assert found(keyring, f"ghcr.io/org-{letter}/app") == [(f"username of {letter}", f"token of {letter}")]
    assert found(keyring, "ghcr.io/org-c/app") == []


@pytest.mark.parametrize(("heading", "key"), [("AWS Secrets Manager", "platform/ghcr"), ("HashiCorp Vault", "ghcr")])
def test_user_name_and_token_may_lie_in_one_key(heading: str, key: str, tmp_path: Path) -> None:
    store: dict[tuple[str, str | None], str] = {(key, "username"): "octocat", (key, "token"): 'to"ken'}

    keyring = operator_fills(external(platforms.values()[heading]), store, tmp_path)

    assert found(keyring, "ghcr.io/my-org/app") == [("octocat", 'to"ken')]
    assert found(keyring, "ghcr.io/my-org-2/app") == []


def test_a_flat_external_secret_has_no_properties(tmp_path: Path) -> None:
    spec = external(SWITCHES["external secret"])

    assert all("property" not in each["remoteRef"] for each in spec["data"])
    keys = {each["remoteRef"]["key"]: each["secretKey"] for each in spec["data"]}
    assert keys == {"/sesacthon/dev/ghcr/username": "username", "/sesacthon/dev/ghcr/token": "token"}
    filled = operator_fills(spec, {(key, None): name for key, name in keys.items()}, tmp_path)
    assert found(filled, "ghcr.io/a/b") == [("username", "token")]


def entry(registry: str) -> dict[str, str]:
    return {"registry": registry, "usernameKey": "u", "tokenKey": "t"}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an entry twice": (
        {"externalSecret": {**ON, "entries": [entry("ghcr.io/a/"), entry("ghcr.io/a/")]}},
        "centralSecret.externalSecret.entries[1].registry: ghcr.io/a/ is there already",
    ),
    "a created entry twice": (
        {"create": {**ON, "entries": [ENTRIES[2], ENTRIES[2]]}},
        "centralSecret.create.entries[1].registry: ghcr.io is there already",
    ),
    "both forms": (
        {"create": {**ON, "username": "u", "entries": ENTRIES}},
        "centralSecret.create: username and token are one entry, entries are several",
    ),
    "an entry without its token": (
        {"externalSecret": {**ON, "entries": [{"registry": "ghcr.io", "usernameKey": "u"}]}},
        "at '/centralSecret/externalSecret/entries/0': missing property 'tokenKey'",
    ),
    "a misspelt property": (
        {"externalSecret": {**ON, "entries": [{**entry("ghcr.io"), "usernameProp": "u"}]}},
        "entries/0': additional properties 'usernameProp' not allowed",
    ),
    "an entry with a scheme": (
        {"externalSecret": {**ON, "entries": [entry("https://ghcr.io")]}},
        "at '/centralSecret/externalSecret/entries/0/registry'",
    ),
    "a colon in the user name": (
        {"create": {**ON, "username": "a:b", "token": "t"}},
        "centralSecret.create: the user name for ghcr.io has a colon",
    ),
    "entries for nothing that is looked after": (
        {"externalSecret": {**ON, "entries": [entry("quay.io/a/"), entry("docker.io")]}},
        "centralSecret.externalSecret: its entries are for quay.io, docker.io, and images.include looks after no image",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_kubelet_could_use_is_refused(case: str) -> None:
    values, message = BAD[case]

    with pytest.raises(helm_python.HelmError) as raised:
        helm.render({**BOTH, "centralSecret": values})
    assert message in str(raised.value)


@pytest.mark.parametrize("token", [f"{CANARY}\n", f" {CANARY}", f"{CANARY} x", f"{CANARY}\t"])
def test_a_token_that_was_copied_with_white_space_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(helm_python.HelmError, match=r"the token for ghcr\.io has white space") as raised:
        created({"username": "octocat", "token": token})
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "registry"),
    [("GHCR.io:443/*", "ghcr.io"), ("*.pkg.dev/*", "eu.pkg.dev"), ("eu.pkg.dev/*", "*.pkg.dev")],
)
def test_an_entry_that_may_serve_a_pattern_is_taken(pattern: str, registry: str) -> None:
    central = {"externalSecret": {**ON, "entries": [entry("quay.io"), entry(registry)]}}

    assert helm.render({"images": {"include": [pattern]}, "centralSecret": central})


def test_notes_warn_of_an_entry_without_its_closing_slash() -> None:
    def warned(*registries: str) -> bool:
        central = {"externalSecret": {**ON, "entries": [entry(each) for each in registries]}}
        said = helm.notes({**BOTH, "centralSecret": central})
        return "WARNING: the entry ghcr.io/org-a has no slash at its end" in said

    assert warned("ghcr.io/b/", "ghcr.io/org-a")
    assert not warned("ghcr.io/org-a/", "ghcr.io", "localhost:5000")
    flat = {"create": {**ON, "registry": "ghcr.io/org-a", "username": "u", "token": CANARY}}
    said = helm.notes({**BOTH, "centralSecret": flat})
    assert "WARNING: the entry ghcr.io/org-a has no slash" in said
    assert CANARY not in said


def test_the_json_of_the_secret_is_that_of_docker() -> None:
    secret = helm.select(helm.render({**BOTH, "centralSecret": {"create": {**ON, "entries": ENTRIES}}}), "Secret")
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]

    assert secret["type"] == TYPE
    assert list(auths) == ["ghcr.io", "ghcr.io/org-a/", "ghcr.io/org-ab/"]
    assert auths["ghcr.io"] == {
        "username": "rest",
        "password": "ü",
        "auth": base64.b64encode("rest:ü".encode()).decode(),
    }
