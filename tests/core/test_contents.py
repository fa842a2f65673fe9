"""How often a pull secret's content is read, and what its bounds make of it."""

import pytest

from tests.objects import CANARY, RULES, payload, secret
from webhook.core import contents, copies
from webhook.core.keyring import Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import SECRET_TYPE
from webhook.core.vocabulary import CentralFault, Reason


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each content that is read."""
    found: list[int] = []
    original = Keyring.from_secret.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Keyring], /, secret_type: str, data: bytes, **bounds: int) -> Keyring:
        found.append(len(data))
        made: Keyring = original(cls, secret_type, data, **bounds)
        return made

    monkeypatch.setattr(Keyring, "from_secret", classmethod(counted))
    for memory in (
        contents._remembered_small,
        contents._remembered_large,
        contents._remembered_fault,
        contents._remembered_central_fault,
    ):
        memory.cache_clear()
    return found


@pytest.mark.parametrize("size", [200, 5_000, 20_000, 65_536])
def test_a_content_is_read_once_whoever_asks(readings: list[int], size: int) -> None:
    for number in range(3):
        held = secret("auth", payload=payload().ljust(size))
        assert copies.fault(held) is None
        assert copies.fault(held, (f"ghcr.io/a/b{number}",)) is None
        assert copies.central_fault(held, RULES.patterns) is None
        assert copies.read_keyring(held).has_credentials
    assert readings == [size]


@pytest.mark.parametrize(
    ("content", "error"), [(b"[", MalformedSecret), (b'{"auths":{' + b'"":{},' * 1_000 + b'"":{}}}', SecretTooLarge)]
)
def test_a_content_that_cannot_be_read_is_tried_once(
    readings: list[int], content: bytes, error: type[Exception]
) -> None:
    for _ in range(3):
        with pytest.raises(error) as caught:
            copies.read_keyring(secret("auth", payload=content))
        assert len(caught.traceback) < 6
    assert readings == [len(content)]


def test_a_content_over_the_bound_is_not_read_at_all(readings: list[int]) -> None:
    held = secret("auth", payload=payload().ljust(65_537))
    with pytest.raises(SecretTooLarge) as caught:
        copies.read_keyring(held)
    assert CANARY not in str(caught.value)
    assert caught.value.bound == "65536 bytes"
    assert copies.fault(held) is Reason.TOO_LARGE
    assert copies.fault(held, ("ghcr.io/a/b",)) is Reason.TOO_LARGE
    assert copies.central_fault(held, RULES.patterns) is CentralFault.TOO_LARGE
    assert readings == []


def test_a_type_that_holds_no_credentials_is_not_read(readings: list[int]) -> None:
    assert contents.read("Opaque", b"[") == Keyring(endpoints=(), default=())
    assert contents.fault("Opaque", b"[") is Reason.WRONG_TYPE
    assert contents.central_fault("kubernetes.io/dockercfg", b"[", RULES.patterns) is CentralFault.WRONG_TYPE
    assert readings == []


def test_keyrings_of_large_contents_are_few() -> None:
    for number in range(50):
        contents.read(SECRET_TYPE, payload(token=str(number)).ljust(60_000))
        contents.read(SECRET_TYPE, payload(token=str(number)).ljust(4_000))
    assert contents._remembered_large.cache_info().currsize <= 4
    assert contents._remembered_small.cache_info().currsize <= 64
