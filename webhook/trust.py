"""TLS client contexts that verify a peer."""

import ssl
from pathlib import Path
from typing import Final

import structlog

MAX_BUNDLE: Final = 1024 * 1024
"""Largest bundle read, in bytes: what a ConfigMap or a Secret can hold. The system's own has about 200 KiB."""

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"


class BundleError(Exception):
    """A CA bundle that cannot be used.

    Attributes:
        fault: What is wrong with it, in words that go after its name.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


def peer_context(*, verify: bool = True) -> ssl.SSLContext:
    """Make a context that verifies chain, name and dates of a server, and trusts nobody yet.

    It decides as Go's clients do, on every Python: since 3.13 `ssl.create_default_context` sets `VERIFY_X509_STRICT`,
    which refuses a CA without `keyUsage` or without key identifiers. Clusters made by older tools have such a CA, and
    kubectl accepts it. `VERIFY_X509_PARTIAL_CHAIN`, also set since 3.13, trusts an intermediate CA that is named.

    Args:
        verify: `False` for a kubeconfig with `insecure-skip-tls-verify`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Trust:
    """The system's CAs (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply), and those of a bundle added to them.

    Args:
        bundle: A PEM file, read again for each context, so that a mounted one can change. One that has become unusable
            meanwhile leaves the last good content in force.

    Raises:
        BundleError: The bundle cannot be used now.
    """

    def __init__(self, bundle: Path | None = None) -> None:
        self._bundle = bundle
        self._pem = read_bundle(bundle) if bundle else ""

    def context(self, *, verify: bool = True) -> ssl.SSLContext:
        """Make a context that trusts them (see `peer_context`)."""
        context = peer_context(verify=verify)
        context.load_default_certs()
        if self._bundle:
            try:
                self._pem = read_bundle(self._bundle)
            except BundleError as error:
                structlog.get_logger().warning("ca_bundle_unusable", fault=error.fault)
            context.load_verify_locations(cadata=self._pem)
        return context


def read_bundle(path: Path) -> str:
    """Read a bundle: its certificates, and what stands between them, in ASCII.

    Raises:
        BundleError: It cannot be used.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BUNDLE + 1)
    except OSError:
        raise BundleError("it cannot be read") from None
    if len(content) > MAX_BUNDLE:
        raise BundleError(f"it is larger than {MAX_BUNDLE >> 20} MiB")
    # Comments between certificates may be in any language; OpenSSL passes over them, `ssl` takes ASCII only.
    pem = content.decode("ascii", "replace").replace("\ufffd", "?")
    if _BEGIN not in pem:
        raise BundleError("there is no PEM certificate in it")
    try:
        peer_context().load_verify_locations(cadata=pem)
    except ssl.SSLError:
        raise BundleError("a certificate in it is malformed") from None
    return pem
