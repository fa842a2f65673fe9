"""What every `certs.ports.CertificateStore` and `Registration` does, whoever keeps the objects."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from certs.ports import CertificateStore, Changed, Registration

NAME = "hooks-webhook-tls"
DATA: Mapping[str, bytes] = {"tls.crt": b"certificate", "tls.key": b"key\x00\xff", "ca.crt": b"bundle"}


class CertificateWorld(Protocol):
    """What a contract test needs to arrange and to see."""

    @property
    def store(self) -> CertificateStore: ...

    @property
    def registration(self) -> Registration:
        """A webhook configuration that is not there yet."""
        ...

    def register(self, bundles: Mapping[str, bytes]) -> None:
        """Make that configuration, with such webhooks."""
        ...

    def edit_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        """Replace a Secret's data, as somebody else."""
        ...

    def delete_secret(self, name: str) -> None: ...

    def edit_bundle(self, webhook: str, bundle: bytes) -> None:
        """Set one webhook's `caBundle`, as somebody else."""
        ...

    def unregister(self) -> None:
        """Delete the configuration."""
        ...


class StoreContract:
    """Inherit it and give it a fixture `certificates`."""

    def test_what_was_created_is_read_back(self, certificates: CertificateWorld) -> None:
        assert certificates.store.get(NAME) is None
        certificates.store.create(NAME, DATA)
        found = certificates.store.get(NAME)
        assert found is not None
        assert found.data == DATA
        assert b"key" not in repr(found).encode()

    def test_only_one_creates(self, certificates: CertificateWorld) -> None:
        certificates.store.create(NAME, DATA)
        with pytest.raises(Changed) as caught:
            certificates.store.create(NAME, {**DATA, "tls.crt": b"other"})
        assert caught.value.name == NAME
        found = certificates.store.get(NAME)
        assert found is not None
        assert found.data == DATA

    def test_an_update_replaces_all_data(self, certificates: CertificateWorld) -> None:
        certificates.store.create(NAME, DATA)
        certificates.edit_secret(NAME, {**DATA, "extra": b"x"})
        seen = certificates.store.get(NAME)
        assert seen is not None
        wanted = {"tls.crt": b"new", "tls.key": b"new", "ca.crt": b"new"}
        certificates.store.update(NAME, wanted, seen)
        found = certificates.store.get(NAME)
        assert found is not None
        assert found.data == wanted

    @pytest.mark.parametrize("meanwhile", ["edited", "deleted"])
    def test_an_update_of_what_is_no_longer_so_is_refused(self, certificates: CertificateWorld, meanwhile: str) -> None:
        certificates.store.create(NAME, DATA)
        seen = certificates.store.get(NAME)
        assert seen is not None
        if meanwhile == "edited":
            certificates.edit_secret(NAME, {**DATA, "ca.crt": b"edited"})
        else:
            certificates.delete_secret(NAME)
        with pytest.raises(Changed):
            certificates.store.update(NAME, DATA, seen)
        found = certificates.store.get(NAME)
        assert (found.data["ca.crt"] if found else None) == (b"edited" if meanwhile == "edited" else None)


class RegistrationContract:
    """Inherit it and give it a fixture `certificates`."""

    def test_absence_is_no_error(self, certificates: CertificateWorld) -> None:
        assert certificates.registration.read() is None

    def test_bundles_are_read_in_order_and_empty_if_unset(self, certificates: CertificateWorld) -> None:
        certificates.register({"b.hooks.io": b"", "a.hooks.io": b"bundle"})
        found = certificates.registration.read()
        assert found is not None
        assert list(found.bundles) == [("b.hooks.io", b""), ("a.hooks.io", b"bundle")]

    def test_every_webhook_gets_the_bundle(self, certificates: CertificateWorld) -> None:
        certificates.register({"b.hooks.io": b"", "a.hooks.io": b"old"})
        seen = certificates.registration.read()
        assert seen is not None
        certificates.registration.publish(b"new", seen)
        found = certificates.registration.read()
        assert found is not None
        assert list(found.bundles) == [("b.hooks.io", b"new"), ("a.hooks.io", b"new")]

    @pytest.mark.parametrize("meanwhile", ["edited", "deleted"])
    def test_a_bundle_is_not_published_to_what_changed(self, certificates: CertificateWorld, meanwhile: str) -> None:
        certificates.register({"b.hooks.io": b"", "a.hooks.io": b""})
        seen = certificates.registration.read()
        assert seen is not None
        if meanwhile == "edited":
            certificates.edit_bundle("a.hooks.io", b"edited")
        else:
            certificates.unregister()
        with pytest.raises(Changed):
            certificates.registration.publish(b"new", seen)
        found = certificates.registration.read()
        assert (list(found.bundles) if found else None) == (
            [("b.hooks.io", b""), ("a.hooks.io", b"edited")] if meanwhile == "edited" else None
        )
