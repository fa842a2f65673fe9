"""Connection failures as data: DNS, refused, time-out, TLS, proxy."""

import errno
import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import urllib3


class ConnectionFault(StrEnum):
    """Where it failed; a log field."""

    DNS = "dns"
    """The host's name could not be resolved."""
    REFUSED = "refused"
    """Nobody listens there."""
    TIMEOUT = "timeout"
    """Nothing came in time."""
    TLS = "tls"
    """No TLS, or a certificate that is not believed."""
    PROXY = "proxy"
    """The proxy could not be reached or used, or opened no tunnel."""
    CONNECTION = "connection"
    """There is no way there, or the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFailure:
    """Why there is no answer. None of it was sent by a peer, but for the digits of a proxy's HTTP status.

    Attributes:
        fault: Where it failed.
        reason: The word of whoever found out: OpenSSL's (`CERTIFICATE_VERIFY_FAILED`), an errno's (`ECONNRESET`),
            getaddrinfo's (`EAI_AGAIN`), or of a proxy that opens no tunnel `HTTP_407`; "" if there is none.
        verify_code: OpenSSL's number for what is wrong with a certificate (`X509_V_ERR_…`), 0 for none.
    """

    fault: ConnectionFault
    reason: str = ""
    verify_code: int = 0

    def __str__(self) -> str:
        """Say it for people, such as `tls: CERTIFICATE_VERIFY_FAILED (10, certificate has expired)`."""
        known = _VERIFY.get(self.verify_code)
        code = f" ({self.verify_code}{f', {known}' if known else ''})" if self.verify_code else ""
        return f"{self.fault}: {self.reason}{code}" if self.reason else f"{self.fault}{code}"


_VERIFY: Final = {
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    62: "hostname mismatch",
    64: "IP address mismatch",
}
"""OpenSSL's texts for the usual of its numbers (`x509_vfy.h`). Python's own for 62 and 64 have the name in them."""

_WORD: Final = re.compile(r"[A-Z0-9_]{1,64}")
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (?P<code>[0-9]{3})\b")
"""How `http.client` says that a proxy opened no tunnel; the status is nowhere else."""

_RESOLVER: Final = {
    getattr(socket, name): name
    for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_FAMILY", "EAI_MEMORY", "EAI_NODATA", "EAI_NONAME", "EAI_SERVICE")
    if hasattr(socket, name)
}

_DEPTH: Final = 8
"""Errors looked at, one within the other. urllib3 wraps three times at most."""


def failure_of(error: BaseException) -> ConnectionFailure | None:
    """Say where a connection failed, from the errors of `socket`, `ssl`, `http.client` and urllib3.

    Returns:
        `None` if the error is none of a connection: what came is not HTTP, say.
    """
    found = tuple(_within(error))
    for each in found:
        # No subclass, and no errno: nothing but this says so.
        if type(each) is OSError and each.errno is None and (match := _TUNNEL.match(str(each))):
            return ConnectionFailure(fault=ConnectionFault.PROXY, reason=f"HTTP_{match['code']}")
    kinds = [kind for each in found if (kind := _one(each)) is not None]
    if not kinds:
        return None
    # The innermost knows best; an outer one may know of no reason at all.
    best = max(enumerate(kinds), key=lambda pair: (bool(pair[1].reason), pair[0]))[1]
    if any(isinstance(each, urllib3.exceptions.ProxyError) for each in found):
        return replace(best, fault=ConnectionFault.PROXY)
    return best


def _one(error: BaseException) -> ConnectionFailure | None:
    match error:
        case ssl.SSLError():
            word = match[0] if (match := _WORD.fullmatch(getattr(error, "reason", None) or "")) else ""
            return ConnectionFailure(
                fault=ConnectionFault.TLS, reason=word, verify_code=getattr(error, "verify_code", 0)
            )
        case urllib3.exceptions.SSLError():
            return ConnectionFailure(fault=ConnectionFault.TLS)
        case socket.gaierror():
            return ConnectionFailure(fault=ConnectionFault.DNS, reason=_RESOLVER.get(error.errno or 0, ""))
        case urllib3.exceptions.NewConnectionError() | http.client.IncompleteRead():
            return ConnectionFailure(fault=ConnectionFault.CONNECTION)
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            return ConnectionFailure(fault=ConnectionFault.TIMEOUT)
        case ConnectionRefusedError():
            return ConnectionFailure(fault=ConnectionFault.REFUSED, reason=_errno(error))
        case OSError():
            return ConnectionFailure(fault=ConnectionFault.CONNECTION, reason=_errno(error))
        case _:
            return None


def _errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")


def _within(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made from, outermost first: by its cause, or as urllib3 does, by its arguments."""
    pending: list[BaseException] = [error]
    seen: list[BaseException] = []
    while pending and len(seen) < _DEPTH:
        each = pending.pop(0)
        if any(each is known for known in seen):
            continue
        seen.append(each)
        yield each
        inner = (each.__cause__, *each.args)
        pending.extend(cause for cause in inner if isinstance(cause, BaseException))
