"""Certificate checks of the API server's webhook client, in Go's order and words.

Go looks at the leaf's validity first, then at its names, then for a chain to a trusted certificate. OpenSSL finds a
missing chain first, so a failed handshake is explained from the leaf itself.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl

from cryptography import x509


class VerificationError(Exception):
    """The server's certificate is not to be trusted; `text` begins with ``x509: ``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def client_context(ca_bundle: bytes) -> ssl.SSLContext:
    """Build the context for servers that `ca_bundle` (PEM, empty for the system's roots) vouches for.

    Any certificate in the bundle is an anchor, as in Go, be it self-signed or not. Names are checked by
    `verify_name`, which knows the texts. Stricter than Go: of two CAs with one subject only the one that the leaf's
    authorityKeyIdentifier names is tried.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # The API server asks for HTTP/1.1 only, so that connections spread over a webhook's replicas.
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle:
        context.load_verify_locations(cadata=ca_bundle.decode("ascii"))
    else:
        context.load_default_certs()
    return context


def presented_leaf(address: tuple[str, int], server_name: str, timeout: float) -> bytes | None:
    """Fetch the certificate a server presents, trusting nothing: only to say what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(address, timeout=timeout) as raw,
        context.wrap_socket(raw, server_hostname=server_name) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


def explain_untrusted(leaf: bytes | None, server_name: str, *, now: dt.datetime | None = None) -> str:
    """Say why a leaf without a valid chain is refused: time, then name, then authority."""
    moment = now or dt.datetime.now(dt.UTC)
    if leaf is not None:
        certificate = x509.load_der_x509_certificate(leaf)
        prefix = f"x509: certificate has expired or is not yet valid: current time {_rfc3339(moment)}"
        if moment > certificate.not_valid_after_utc:
            return f"{prefix} is after {_rfc3339(certificate.not_valid_after_utc)}"
        if moment < certificate.not_valid_before_utc:
            return f"{prefix} is before {_rfc3339(certificate.not_valid_before_utc)}"
        try:
            verify_name(leaf, server_name)
        except VerificationError as error:
            return error.text
    return "x509: certificate signed by unknown authority"


def verify_name(leaf: bytes | None, server_name: str) -> None:
    """Check that a certificate names `server_name`, by its subject alternative names only.

    Raises:
        VerificationError: When it does not, listing what it does name.
    """
    if leaf is None:
        raise VerificationError("x509: certificate signed by unknown authority")
    certificate = x509.load_der_x509_certificate(leaf)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise VerificationError("x509: certificate relies on legacy Common Name field, use SANs instead") from None
    try:
        wanted_ip = ipaddress.ip_address(server_name)
    except ValueError:
        dns = names.get_values_for_type(x509.DNSName)
        if not any(_dns_matches(pattern, server_name) for pattern in dns):
            raise VerificationError(_not_valid_for(dns, server_name)) from None
        return
    ips = names.get_values_for_type(x509.IPAddress)
    if wanted_ip in ips:
        return
    if not ips:
        raise VerificationError(
            f"x509: cannot validate certificate for {server_name} because it doesn't contain any IP SANs"
        )
    raise VerificationError(_not_valid_for([str(ip) for ip in ips], server_name))


def _not_valid_for(names: list[str], wanted: str) -> str:
    if not names:
        return f"x509: certificate is not valid for any names, but wanted to match {wanted}"
    return f"x509: certificate is valid for {', '.join(names)}, not {wanted}"


def _dns_matches(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        label, _, rest = name.partition(".")
        return bool(label) and rest == pattern[2:]
    return pattern == name


def _rfc3339(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
