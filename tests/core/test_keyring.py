"""Credentials looked up for images, as recorded from the kubelet."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.core import gojson, hostmatch, images
from webhook.core.keyring import (
    DOCKER_CFG,
    DOCKER_CONFIG_JSON,
    Credential,
    Keyring,
    MalformedSecret,
    SecretFault,
    SecretTooLarge,
)

RECORDINGS = Path(__file__).parents[1] / "data" / "kubelet-keyring.jsonl"


def pairs(credentials: tuple[Credential, ...]) -> list[str]:
    return [f"{credential.username}:{credential.password}" for credential in credentials]


def config(document: Any) -> Keyring:
    return Keyring.from_secret(
        DOCKER_CONFIG_JSON, document if isinstance(document, bytes) else json.dumps(document).encode()
    )


def keyring_for(*registries: str) -> Keyring:
    """Each registry is its own user name; the password is empty."""
    return config({"auths": {registry: {"username": registry} for registry in registries}})


def users(keyring: Keyring, repository: str) -> list[str]:
    return [credential.username for credential in keyring.lookup(repository)]


def test_every_recording_of_the_kubelet_holds() -> None:
    lines = RECORDINGS.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 646
    for number, text in enumerate(lines, 1):
        line = json.loads(text)
        found: list[str] = []
        malformed = False
        try:
            keyring = Keyring.from_secret(line["type"], line["data"].encode())
        except MalformedSecret:
            malformed = True
        else:
            if not line["parse_error"]:
                found = pairs(keyring.lookup(images.parse(line["image"]).repository))
        assert malformed is bool(line["keyring_error"]), number
        assert (bool(found), found) == (line["found"], line["credentials"]), number


# --- what a location covers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "repository", "covers"),
    [
        ("ghcr.io", "ghcr.io/a", True),
        ("ghcr.io:", "ghcr.io/a", True),
        ("ghcr.io:443", "ghcr.io/a", False),
        ("ghcr.io:0443", "ghcr.io:443/a", False),
        ("ghcr.io:80:443", "ghcr.io:443/a", False),
        ("ghcr.io:https", "ghcr.io/a", False),
        ("HTTPS://ghcr.io", "ghcr.io/a", False),
        ("//ghcr.io", "ghcr.io/a", False),
        ("http://ghcr.io/v1/team", "ghcr.io/team/a", True),
        ("https://ghcr.io/v3/", "ghcr.io/a", False),
        ("ghcr.io/v2/v2/", "ghcr.io/v2/a", True),
        ("ghcr.io/v2/v2/", "ghcr.io/a", False),
        ("ghcr.io/%74eam", "ghcr.io/team/a", True),
        ("ghcr.io/team%2F", "ghcr.io/team/a", True),
        ("ghcr.io/team%3Fx", "ghcr.io/team/a", True),  # the key is parsed again, and now has a query
        ("ghcr.io/team%23x", "ghcr.io/team/a", True),
        ("ghcr.io/%2574eam", "ghcr.io/team/a", True),
        ("ghcr.io/%25zz", "ghcr.io/a", False),
        ("ghcr.io/%7", "ghcr.io/a", False),
        ("ghcr%2eio", "ghcr.io/a", False),
        ("ghcr.io#\x00", "ghcr.io/a", True),
        ("ghcr.io#%zz", "ghcr.io/a", False),
        ("ghcr.io?%zz", "ghcr.io/a", True),
        ("ghcr.io?\x7f", "ghcr.io/a", False),
        ("u:p@ghcr.io", "ghcr.io/a", True),
        ("u@x@ghcr.io", "ghcr.io/a", True),
        ("u p@ghcr.io", "ghcr.io/a", False),
        ("u%zz@ghcr.io", "ghcr.io/a", False),
        ("ghcr .io", "ghcr.io/a", False),
        ("ghcr\\.io", "ghcr.io/a", False),
        ("gh?r.io", "ghcr.io/a", False),
        ("*.*", "ghcr.io/a", True),
        ("*", "localhost/a", True),
        ("*g*c*.i*o", "ghcr.io/a", True),
        ("g*g.io", "g.io/a", False),
        ("**.io", "ghcr.io/a", True),
        ("*:5000", "localhost:5000/a", True),
        ("ghcr.*/team", "ghcr.io/team/a", True),
        ("ghcr.io.", "ghcr.io/a", False),
        ("[::1]:5000", "[::1]:5000/a", True),
        ("[::1]", "[::1]/a", False),  # filepath.Match takes the brackets for a class
        ("[::A]", "A/a", True),
        ("[::A]", "B/a", False),
        ("[::ffff:1.2.3.4]", "[::1]/a", False),
        ("*", "[::1]/a", True),
        ("*", "[:::]/a", False),  # a valid reference, but no address
        ("[::1", "[::1]/a", False),
        ("[::1]x", "[::1]/a", False),
        ("[::1%25eth0]:5000", "[::1]:5000/a", False),
        ("[::1%25A]", "A/a", False),
        ("x[::1]:5000", "[::1]:5000/a", False),
        ("é.io", "ghcr.io/a", False),
    ],
)
def test_a_location_covers_what_the_kubelet_matches(registry: str, repository: str, covers: bool) -> None:
    assert users(keyring_for(registry), repository) == ([registry] if covers else [])


def test_more_specific_locations_come_first() -> None:
    keyring = keyring_for("*.io", "ghcr.io", "https://ghcr.io/v2/team/app", "ghcr.io/team", "ghcr.io/tea", "quay.io")
    assert users(keyring, "ghcr.io/team/app") == [
        "https://ghcr.io/v2/team/app",
        "ghcr.io/team",
        "ghcr.io/tea",
        "ghcr.io",
        "*.io",
    ]


@pytest.mark.parametrize("registry", ["https://index.docker.io/v1/", "index.docker.io", "http://index.docker.io/v2/"])
def test_docker_hub_is_the_default_only_where_nothing_covers(registry: str) -> None:
    keyring = keyring_for(registry, "quay.io")
    assert users(keyring, "docker.io/library/nginx") == [registry]
    assert users(keyring, "localhost/a") == [registry]
    assert users(keyring, "quay.io/a") == ["quay.io"]
    assert users(keyring, "ghcr.io/a") == []
    assert users(keyring, "localhost:5000/a") == []
    assert users(keyring_for(registry, "docker.io"), "docker.io/library/nginx") == ["docker.io"]
    assert users(keyring, "nginx") == users(keyring, "ghcr.io") == [registry]
    assert users(keyring, "") == []


def test_docker_hub_with_another_path_is_not_the_default() -> None:
    assert users(keyring_for("index.docker.io/team"), "docker.io/team/a") == []


# --- what a Secret holds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"\\u0041UTH\xc5\xbf":{"g.io":{"U\xc5\xbfername":"u","PASSWORD":"p"}}}', ["u:p"]),
        (b'{"auths":{"g.io":{"username":"a","username":"b","Username":null}}}', ["b:"]),
        (b'{"auths":{"g.io":{"pa\xc3\x9fword":"p"}}}', [":"]),
        (b'{"auths":{"g.io":null}}', [":"]),
        (b'{"auths":{"g.io":{"username":"u"}},"auths":{"quay.io":{}}}', ["u:"]),
        (b'{"auths":{"g.io":{"username":"u"}},"auths":null}', []),
        (b'{"auths":{"g.io":{"username":"u"}},"AUTHS":{"g.io":{"password":"p"}}}', [":p"]),
        (b'{"auths":null,"auths":{"g.io":{"username":"u"}}}', ["u:"]),
        (
            b'{"auths":{"g.io":{"username":"\\ud83d\\ude00\\ud800x\\udc00","password":"\xff\xe2\x82"}}}',
            ["😀\ufffdx\ufffd:\ufffd\ufffd\ufffd"],
        ),
        (b'{"HttpHeaders":{"a":"b","c":null},"x":[1e400,-0.5,true],"auths":{"g.io":{"x":[{}]}}}', [":"]),
        (b'{"httpheaders":null,"auths":{"g.io":{}}}', [":"]),
        (b"null", []),
        (b'{"auths":{"g.io":{"x":' + b"1" * 5000 + b"}}}", [":"]),
    ],
)
def test_a_document_is_read_as_go_reads_it(document: bytes, expected: list[str]) -> None:
    assert pairs(config(document).lookup("g.io/a")) == expected


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (b"user:pass", "user:pass"),
        (b"u:p:q", "u:p:q"),
        (b":", ":"),
        (b"u:\xff\xe2\x82", "u:\ufffd\ufffd\ufffd"),
        (b"u:\xed\xa0\x80", "u:\ufffd\ufffd\ufffd"),
    ],
)
def test_auth_is_decoded_with_and_without_padding_and_line_breaks(auth: bytes, expected: str) -> None:
    encoded = base64.b64encode(auth).decode()
    for text in (encoded, encoded.rstrip("="), f"\r\n{encoded[:3]}\n{encoded[3:]}\r\n"):
        keyring = config({"auths": {"g.io": {"username": "x", "password": "y", "auth": text}}})
        assert pairs(keyring.lookup("g.io/a")) == [expected]


def test_bits_behind_the_last_byte_of_auth_are_ignored() -> None:
    assert pairs(config({"auths": {"g.io": {"auth": "dTp="}}}).lookup("g.io/a")) == ["u:"]


@pytest.mark.parametrize(
    ("auth", "fault"),
    [
        ("dTo==", SecretFault.NOT_BASE64),
        ("dTp", None),
        ("dTpw=", SecretFault.NOT_BASE64),
        ("dTpwx", SecretFault.NOT_BASE64),
        ("dTo=dTo=", SecretFault.NOT_BASE64),
        ("dTo= ", SecretFault.NOT_BASE64),
        (" dTpw", SecretFault.NOT_BASE64),
        ("dT\tpw", SecretFault.NOT_BASE64),
        ("dTp-", SecretFault.NOT_BASE64),
        ("====", SecretFault.NOT_BASE64),
        ("d===", SecretFault.NOT_BASE64),
        ("\n", SecretFault.NO_COLON),
        ("YWJj", SecretFault.NO_COLON),
    ],
)
def test_a_bad_auth_makes_the_secret_malformed(auth: str, fault: SecretFault | None) -> None:
    document = {"auths": {"g.io": {"auth": auth}}}
    if fault is None:
        assert config(document).lookup("g.io/a")
        return
    with pytest.raises(MalformedSecret) as caught:
        config(document)
    assert (caught.value.field, caught.value.fault, caught.value.found) == ("auths.*.auth", fault, "")


@pytest.mark.parametrize(
    ("document", "field", "found"),
    [
        (b'"canary"', "", "string"),
        (b"[]", "", "array"),
        (b"true", "", "bool"),
        (b"1", "", "number"),
        (b'{"auths":"canary"}', "auths", "string"),
        (b'{"auths":{"canary":5}}', "auths.*", "number"),
        (b'{"auths":{"canary":{"username":{}}}}', "auths.*.username", "object"),
        (b'{"auths":{"canary":{"email":false}}}', "auths.*.email", "bool"),
        (b'{"auths":{"canary":{"Auth":[]}}}', "auths.*.auth", "array"),
        (b'{"auths":{"canary":[],"canary":{}}}', "auths.*", "array"),
        (b'{"HTTPHEADERS":["canary"]}', "HttpHeaders", "array"),
        (b'{"HttpHeaders":{"canary":1}}', "HttpHeaders.*", "number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_place_and_kind_only(document: bytes, field: str, found: str) -> None:
    with pytest.raises(MalformedSecret) as caught:
        config(document)
    assert (caught.value.field, caught.value.fault, caught.value.found) == (field, SecretFault.WRONG_KIND, found)
    assert "canary" not in f"{caught.value!r} {caught.value}"


def test_a_dockercfg_has_no_auths_around_it() -> None:
    keyring = Keyring.from_secret(DOCKER_CFG, b'{"g.io":{"auth":"dTpw"},"auths":{"username":"x"}}')
    assert pairs(keyring.lookup("g.io/a")) == ["u:p"]
    with pytest.raises(MalformedSecret) as caught:
        Keyring.from_secret(DOCKER_CFG, b'{"g.io":{"auth":1}}')
    assert (caught.value.field, caught.value.found) == ("*.auth", "number")


def test_no_data_is_an_empty_keyring() -> None:
    for secret_type in (DOCKER_CFG, DOCKER_CONFIG_JSON):
        assert Keyring.from_secret(secret_type, b"").lookup("g.io/a") == ()


def test_a_secret_of_another_type_is_an_empty_keyring() -> None:
    keyring = Keyring.from_secret("Opaque", b'{"auths":{"g.io":{"auth":"dTpw"}}}')
    assert keyring.lookup("g.io/a") == ()
    assert not keyring.has_credentials


def test_half_a_credential_is_none() -> None:
    assert Credential(username="", password="").is_empty
    assert Credential(username="u", password="").is_empty
    assert Credential(username="", password="p").is_empty
    assert not Credential(username="u", password="p").is_empty
    assert not Credential(username="u", password="p\n").is_empty


@pytest.mark.parametrize("blank", [" ", "\n", " \t\r\n"])
def test_white_space_is_no_half_of_a_credential(blank: str) -> None:
    """What `echo "$TOKEN"` makes of an unset variable."""
    assert Credential(username="u", password=blank).is_empty
    assert Credential(username=blank, password="p").is_empty


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": "OlRPS0VO"},  # :TOKEN
        {"auth": "dXNlcjo="},  # user:
        {"auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==", "identitytoken": "x"},
        {"username": "u", "password": ""},
        {"password": "p"},
    ],
)
def test_half_a_credential_is_still_found_as_the_kubelet_finds_it(entry: dict[str, str]) -> None:
    (credential,) = config({"auths": {"g.io": entry}}).lookup("g.io/a")
    assert credential.is_empty


def test_a_keyring_has_credentials_if_any_entry_is_not_empty() -> None:
    assert config({"auths": {"g.io": {}, "index.docker.io": {"auth": "dTpw"}}}).has_credentials
    assert not config({"auths": {"g.io": {"username": "u"}}}).has_credentials
    assert not config({"auths": {"g.io": {}, "quay.io": {"auth": "Og=="}}}).has_credentials
    assert not config({}).has_credentials


def test_repr_and_errors_never_show_a_credential() -> None:
    keyring = config({"auths": {"g.io": {"username": "canary-u", "password": "canary-p"}}})
    (credential,) = keyring.lookup("g.io/a")
    assert "canary" not in repr(keyring) + repr(keyring.endpoints) + repr(credential) + str(credential)
    with pytest.raises(MalformedSecret) as caught:
        config(b'{"auths":{"g.io":{"password":"canary"}}} canary')
    assert "canary" not in f"{caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- an index gives what trying each entry gives


def tried_one_by_one(keyring: Keyring, repository: str) -> tuple[Credential, ...]:
    target = hostmatch.parse(repository)
    if target is None:
        return ()
    return tuple(c for e in keyring.endpoints if e.location.covers(target) for c in e.credentials)


labels = st.sampled_from(["g", "io", "*", "g*", "*o", "[g", "[g]", "*g*", "", "ghcr", "G"])
locations = st.builds(
    lambda labels, port, path: ".".join(labels) + port + path,
    st.lists(labels, min_size=1, max_size=3),
    st.sampled_from(["", "", ":5", ":443"]),
    st.sampled_from(["", "/", "/a", "/a/", "/ab", "/v2/a"]),
)


@given(
    st.lists(locations, max_size=8, unique=True),
    st.lists(st.sampled_from(["g.io/a/b", "ghcr.io/ab", "G.io/a", "g.io:5/a", "io/a", "g.g.io:443/a"]), min_size=1),
)
def test_the_index_finds_what_trying_each_entry_finds(entries: list[str], repositories: list[str]) -> None:
    keyring = config({"auths": {entry: {"username": entry, "password": "p"} for entry in entries}})
    found = keyring.lookup_each(repositories)
    assert found.keys() == set(repositories)
    for repository in repositories:
        assert found[repository] == keyring.lookup(repository)
        fallback = keyring.default if "." not in repository.partition("/")[0] else ()
        assert found[repository] == (tried_one_by_one(keyring, repository) or fallback)


def test_the_entries_are_asked_for_a_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    matches = hostmatch.glob_matches

    def counted(pieces: Sequence[str], text: str) -> bool:
        calls.append(text)
        return matches(pieces, text)

    monkeypatch.setattr(hostmatch, "glob_matches", counted)
    keyring = keyring_for(*(f"*{number}.io" for number in range(100)), *(f"r{number}.io" for number in range(100)))
    keyring.lookup_each([f"ghcr.io/a/b{number}" for number in range(50)])
    assert len(calls) == 100


def test_more_entries_than_are_asked_for_are_refused_before_they_are_read() -> None:
    def read(*documents: bytes, secret_type: str = DOCKER_CONFIG_JSON) -> None:
        for data in documents:
            Keyring.from_secret(secret_type, data, max_entries=2)

    read(b'{"auths":{"a":{},"b":{}},"x":{"c":{},"d":{},"e":{}}}', b"{}", b'{"auths":null}', b"null")
    read(b'{"a":{},"b":{}}', secret_type=DOCKER_CFG)
    for data in (b'{"auths":{"a":{},"b":{},"c":1}}', b'{"auths":{"a":{},"a":{}},"Auths":{"a":{}}}'):
        with pytest.raises(SecretTooLarge) as caught:
            read(data)
        assert caught.value.bound == "2 entries"
    with pytest.raises(SecretTooLarge):
        read(b'{"a":{},"b":{},"c":{}}', secret_type=DOCKER_CFG)
    with pytest.raises(MalformedSecret):
        read(b'{"auths":[1,2]}')


# --- syntax, depth, size ----------------------------------------------------------------------------------------------

SYNTAX_ERRORS = [
    b"{} {}",
    b"{}\x0b",
    b"\xef\xbb\xbf{}",
    b"{,}",
    b'{"a":1,}',
    b'{"a" 1}',
    b'{"a"}',
    b'{"a":}',
    b'{"a":1 "b":2}',
    b"{a:1}",
    b"{1:1}",
    b"[1,]",
    b"[1 2]",
    b"[,1]",
    b"[1}",
    b'{"a":1]',
    b"]",
    b"[",
    b'["a',
    b'["\\x"]',
    b'["\\u12g4"]',
    b'["\n"]',
    b'["\x00"]',
    b"['a']",
    b"[01]",
    b"[-]",
    b"[1.]",
    b"[.5]",
    b"[+1]",
    b"[1e]",
    b"[0x1]",
    b"[NaN]",
    b"[Infinity]",
    b"[-Infinity]",
    b"[True]",
    b"[nul]",
    b"[1:2]",
    b'["a":1]',
    b"[{}:1]",
    "[١]".encode(),
]


def nested(inner: bytes, depth: int) -> bytes:
    return b"[" * depth + inner + b"]" * depth


@pytest.mark.parametrize("data", SYNTAX_ERRORS)
@pytest.mark.parametrize("depth", [0, 300], ids=["shallow", "deep"])
def test_a_syntax_error_is_malformed_at_any_depth(data: bytes, depth: int) -> None:
    with pytest.raises(MalformedSecret) as caught:
        config(nested(data, depth))
    assert caught.value.fault is SecretFault.NOT_JSON


@pytest.mark.parametrize(("depth", "accepted"), [(9_999, True), (10_000, False)])
def test_nesting_is_limited_where_go_limits_it(depth: int, accepted: bool) -> None:
    data = b'{"x":' + nested(b"", depth) + b',"auths":{"g.io":{"username":"\\ud800"}}}'
    if accepted:
        assert pairs(config(data).lookup("g.io/a")) == ["\ufffd:"]
    else:
        with pytest.raises(MalformedSecret):
            config(data)


def test_blanks_alone_are_no_document() -> None:
    with pytest.raises(MalformedSecret):
        config(b" ")


def test_brackets_within_strings_are_no_nesting() -> None:
    data = json.dumps({"x": '"[\\' + "[{" * 20_000, "auths": {"g.io": {}}}).encode()
    assert pairs(config(data).lookup("g.io/a")) == [":"]


@pytest.mark.slow
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"x":[' + b"[]," * 300_000 + b"[]]}",
        nested(b"0," * 400_000 + b"0", 300),
        b'{"auths":{' + b'"%61":{},' * 100_000 + b'"b":{}}}',
        b'"' * 1_000_000,
        b'"' + b"\\" * 999_999,
    ],
    ids=["arrays", "objects", "flat", "deep and flat", "entries", "quotes", "backslashes"],
)
def test_a_secret_of_the_largest_size_is_read_in_linear_time(data: bytes) -> None:
    try:
        keyring = config(data)
    except MalformedSecret:
        return
    keyring.lookup("ghcr.io/a")


@pytest.mark.timeout(10)
def test_a_glob_of_many_stars_is_matched_in_linear_time() -> None:
    keyring = keyring_for("*a" * 200_000 + "*b.io")
    assert users(keyring, "a" * 500_000 + ".io/x") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def as_go(value: Any) -> Any:
    match value:
        case dict():
            return gojson.Members((name, as_go(inner)) for name, inner in value.items())
        case list():
            return [as_go(inner) for inner in value]
        case bool() | None | str():
            return value
        case _:
            return 0


@pytest.mark.slow
@given(json_values)
def test_both_decoders_give_the_same_tree(value: Any) -> None:
    text = json.dumps(value, indent=1)
    deep = gojson.decode(nested(text.encode(), 300))
    for _ in range(300):
        (deep,) = deep
    assert deep == gojson.decode(text.encode()) == as_go(value)
    assert gojson.kind(deep) == gojson.kind(as_go(value))


entries = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(max_size=8) | st.sampled_from(["dTpw", "Og==", None, 1])
        for name in ("username", "password", "email", "auth", "Auth")
    },
)
registries = st.text("ghcr.io*/:@%[]?#2~v", max_size=14) | st.sampled_from(["ghcr.io", "https://index.docker.io/v1/"])
documents = st.dictionaries(registries, entries | json_values, max_size=4)


@given(
    st.sampled_from([DOCKER_CFG, DOCKER_CONFIG_JSON]),
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | documents.map(lambda value: json.dumps(value).encode())
    | documents.map(lambda value: json.dumps({"auths": value}).encode()),
    st.text() | registries | st.sampled_from(["ghcr.io/a/b", "docker.io/library/nginx"]),
)
@example(DOCKER_CFG, b'{"\xff":{}}', "\ud800")
def test_no_bytes_make_it_raise_anything_else(secret_type: str, data: bytes, repository: str) -> None:
    try:
        keyring = Keyring.from_secret(secret_type, data)
    except MalformedSecret:
        return
    for credential in keyring.lookup(repository):
        assert isinstance(credential, Credential)


@given(st.text(min_size=4), st.text(min_size=4))
def test_repr_is_the_same_for_every_credential(username: str, password: str) -> None:
    keyring = config({"auths": {"g.io": {"username": username, "password": password}}})
    assert repr(keyring) == "Keyring()"
    assert [repr(credential) for credential in keyring.lookup("g.io/a")] == ["Credential()"]


@pytest.mark.parametrize(
    ("document", "uses"),
    [
        (b'{"credsStore": "desktop", "auths": {"ghcr.io": {}}}', True),
        (b'{"credHelpers": {"ghcr.io": "osxkeychain"}}', True),
        (b'{"credsStore": "", "credHelpers": {}}', False),
        (b'{"auths": {"credsStore": {}}}', False),
    ],
)
def test_a_document_that_leaves_the_login_to_a_helper_is_known(document: bytes, uses: bool) -> None:
    assert Keyring.from_secret(DOCKER_CONFIG_JSON, document).uses_helper is uses


def test_a_long_location_is_parsed_as_ever_and_not_remembered() -> None:
    short, long = "ghcr.io/" + "a" * 500, "ghcr.io/" + "a" * 600
    hostmatch._parse_remembered.cache_clear()
    parsed = [hostmatch.parse(each) for each in (short, short, long)]
    assert [each and len(each.path) for each in parsed] == [501, 501, 601]
    remembered = hostmatch._parse_remembered.cache_info()
    assert (remembered.hits, remembered.currsize) == (1, 1)
