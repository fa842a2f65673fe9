"""What is read of an object, whatever a tenant put into it."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.edges.cluster_script import content
from webhook.cluster import wire
from webhook.cluster.objects import KEPT_NAMES, READ_NAMES, PullSecrets, decode_pull_secrets, decode_service_account
from webhook.cluster.secrets import decode, encode
from webhook.core.copies import Secret, central_fault, fault, read_keyring
from webhook.core.keyring import MAX_BYTES, SecretTooLarge
from webhook.core.names import SECRET_KEY
from webhook.core.patterns import ImagePatterns
from webhook.core.vocabulary import CentralFault, Reason

MIB = 1 << 20


def names(*each: str) -> list[dict[str, str]]:
    return [{"name": name} for name in each]


def account(pull_secrets: Any) -> bytes:
    return content({"metadata": {"namespace": "a", "name": "default"}, "imagePullSecrets": pull_secrets})


# --- lists


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=2), max_size=40), st.integers(1, 50)
)
def test_the_first_entries_are_those_a_whole_reading_gives(entries: list[Any], at_most: int) -> None:
    found, more = wire.entries(msgspec.Raw(content(entries)), at_most)
    assert found == entries[:at_most]
    assert more == (len(entries) > at_most)


@pytest.mark.parametrize("array", [b"null", b"[]", b" [ ] ".strip()])
def test_no_list_and_an_empty_one_have_no_entries(array: bytes) -> None:
    assert wire.entries(msgspec.Raw(array), 3) == ([], False)


def test_an_entry_beyond_what_is_looked_at_counts_as_more() -> None:
    array = content([{"name": "a"}, {"name": "é" * MIB}, {"name": "b"}])
    assert wire.entries(msgspec.Raw(array), 3) == ([{"name": "a"}], True)


# --- ServiceAccounts


def test_thirty_two_names_are_kept_of_an_account_and_a_mark_that_there_are_more() -> None:
    every = [f"s{number}" for number in range(KEPT_NAMES + 1)]
    _, kept = decode_service_account(account(names(*every[:-1])), True)
    assert kept == PullSecrets(tuple(every[:-1]))
    _, kept = decode_service_account(account(names(*every)), True)
    assert kept == PullSecrets(tuple(every[:-1]), more=True)
    assert decode_pull_secrets(account(names(*every))) == PullSecrets(tuple(every))


def test_an_account_that_lists_ours_behind_many_is_known_to() -> None:
    """One that lists it has a copy made, however many secrets a platform put before it."""
    many = [f"s{number}" for number in range(500)]
    _, kept = decode_service_account(account(names(*many, "ghcr-secret")), True)
    assert kept == PullSecrets((*many[:KEPT_NAMES], "ghcr-secret"), more=True)
    _, kept = decode_service_account(account(names(*many, "ghcr-secret-2", "my-ghcr-secret")), True)
    assert kept == PullSecrets(tuple(many[:KEPT_NAMES]), more=True)


def test_entries_without_a_name_count_as_entries_too() -> None:
    assert decode_service_account(account([{}] * MIB + names("a")), True)[1] == PullSecrets(more=True)
    assert decode_pull_secrets(account([{}] * READ_NAMES + names("a"))) == PullSecrets(more=True)
    assert decode_pull_secrets(account([{}] * (READ_NAMES - 1) + names("a"))) == PullSecrets(("a",))


def test_no_name_that_is_longer_than_any_secrets_is_kept() -> None:
    assert decode_pull_secrets(account(names("a" * 254, "b" * 253))) == PullSecrets(("b" * 253,))


@pytest.mark.parametrize("entries", [None, [None], [7], ["a"], [{"name": None}], [{"name": 7}]])
def test_what_the_api_server_would_not_send_names_nothing(entries: Any) -> None:
    assert decode_pull_secrets(account(entries)) == PullSecrets()


def test_of_an_account_that_is_too_large_all_names_have_yet_to_be_asked_for() -> None:
    metadata = content({"metadata": {"namespace": "a", "name": "default"}})
    assert decode_service_account(metadata, False) == (("a", "default"), PullSecrets(more=True))


# --- Secrets


def secret(payload: bytes = b"{}", **more: Any) -> dict[str, Any]:
    return encode(Secret(namespace="a", payload=payload)) | more


def test_credentials_up_to_the_bound_are_kept_and_of_larger_ones_none() -> None:
    kept = decode(content(secret(b"x" * MAX_BYTES)))
    assert (kept.payload, kept.too_large) == (b"x" * MAX_BYTES, False)
    for size in (MAX_BYTES + 1, 200_000, 2 * MIB):
        large = decode(content(secret(b"x" * size)))
        assert (large.payload, large.too_large, large.extra_keys) == (None, True, False)


def test_credentials_are_read_beside_a_large_key_too() -> None:
    obj = secret(b'{"auths":{}}')
    obj["data"]["other"] = "A" * MIB
    read = decode(content(obj))
    assert (read.payload, read.too_large, read.extra_keys) == (b'{"auths":{}}', False, True)
    del obj["data"][SECRET_KEY]
    read = decode(content(obj))
    assert (read.payload, read.too_large, read.extra_keys) == (None, False, True)


@pytest.mark.parametrize("kind", ["kubernetes.io/dockercfg", "Opaque"])
def test_a_large_secret_of_another_type_is_read_by_its_own_key(kind: str) -> None:
    obj = secret(type=kind, data={".dockercfg": "e30=", "other": "A" * MIB})
    assert decode(content(obj)).payload == (None if kind == "Opaque" else b"{}")


def test_of_a_secret_that_is_too_large_its_metadata_is_known() -> None:
    read = decode(content({"metadata": secret()["metadata"]}), False)
    assert (read.namespace, read.payload, read.too_large) == ("a", None, True)


def test_a_type_and_marks_without_end_are_cut() -> None:
    obj = secret(type="t" * MIB)
    obj["metadata"]["annotations"] = {"ghcr-pull-secrets.io/source": "s" * 200_000}
    read = decode(content(obj))
    assert len(read.type) < 300
    assert len(read.marks["ghcr-pull-secrets.io/source"]) < 600


def test_one_that_is_owned_is_so_whatever_its_owner_is_called() -> None:
    obj = secret()
    obj["metadata"]["ownerReferences"] = [{"kind": "ExternalSecret", "name": "ghcr-secret"}]
    assert (decode(content(obj)).owned, decode(content(obj)).owner) == (True, "ExternalSecret ghcr-secret")
    obj["metadata"]["ownerReferences"] = [{"kind": "K" * MIB, "name": "ghcr-secret"}]
    assert (decode(content(obj)).owned, decode(content(obj)).owner) == (True, "")


def test_a_central_secret_that_is_too_large_is_not_copied() -> None:
    central = decode(content(secret(b"x" * 200_000)))
    assert fault(central) is Reason.TOO_LARGE
    assert central_fault(central, ImagePatterns(include=("ghcr.io/*",))) is CentralFault.TOO_LARGE
    with pytest.raises(SecretTooLarge):
        read_keyring(central)


WRITER = {
    "manager": "kubectl",
    "operation": "Apply",
    "apiVersion": "v1",
    "time": "2026-11-25T17:50:00Z",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:metadata": {}},
}
"""An entry of `managedFields`: the API server takes any number of those that apply."""


@pytest.mark.parametrize(
    "obj",
    [
        secret(b"x" * MIB),
        secret(data={f"k{number}": "" for number in range(100_000)}),
        secret(metadata={"namespace": "a", "name": "b", "labels": {f"l{number}": "" for number in range(100_000)}}),
        secret(metadata={"namespace": "a", "name": "b", "managedFields": [WRITER] * 10_000}),
    ],
)
def test_a_secret_of_a_megabyte_takes_no_multiple_of_that_to_read(obj: dict[str, Any]) -> None:
    assert cost(decode, content(obj)) < 2


@pytest.mark.parametrize("entries", [[{}] * 400_000, names(*[f"s{number}" for number in range(80_000)])])
def test_an_account_of_a_megabyte_takes_next_to_nothing_to_read(entries: Any) -> None:
    assert cost(lambda raw: decode_service_account(raw, True), account(entries)) < 0.2


def cost(read: Any, raw: bytes) -> float:
    """Say how many times a content's own size its reading takes at its peak."""
    read(raw)
    tracemalloc.start()
    try:
        read(raw)
        return tracemalloc.get_traced_memory()[1] / len(raw)
    finally:
        tracemalloc.stop()


# --- what is no object


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata":{}}',
        b'{"metadata":{"name":7,"namespace":"a"}}',
        b"[" * 100_000,
        b'{"metadata":{"name":"\xff","namespace":"a"}}',
        b'{"z":' + b"[" * 100_000,
    ],
)
def test_what_has_another_shape_is_a_value_error_without_a_word_of_it(raw: bytes) -> None:
    for read in (decode, decode_pull_secrets):
        with pytest.raises(ValueError, match=r"^not the JSON of [A-Za-z]+$"):
            read(raw)
