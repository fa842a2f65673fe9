"""PEM bundles of CA certificates, added to and compared as bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def split_bundle(pem: bytes) -> tuple[bytes, ...]:
    """Give the certificates of a bundle in order, each a PEM block that ends in a newline. Other text is left out."""
    return tuple(block + b"\n" for block in _CERTIFICATE.findall(pem))


def join_bundle(pems: Iterable[bytes]) -> bytes:
    """Make one bundle of certificates and bundles: order kept, repetitions (also differently wrapped ones) left out."""
    distinct: dict[bytes, bytes] = {}
    for pem in pems:
        for block in split_bundle(pem):
            distinct.setdefault(b"".join(block.split()), block)
    return b"".join(distinct.values())
