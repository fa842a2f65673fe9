"""What a client can make TLS itself do once it has shaken hands: records of its own, under the connection's keys.

Python's `ssl` neither updates keys (RFC 8446, 4.6.3) nor asks to shake hands again (RFC 5246, 7.4.1.2), so the records are
made from the secrets that it logs.
"""

import hmac
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_HANDSHAKE, _APPLICATION = b"\x16", b"\x17"
_UPDATE_REQUESTED = b"\x18\x00\x00\x01\x01"


@dataclass
class Shaken:
    """A connection after its handshake: the plain socket, and what the keys are made from."""

    sock: socket.socket
    cipher: str
    secrets: dict[str, bytes]
    client_random: bytes
    server_random: bytes


def shake_hands(context: ssl.SSLContext, address: tuple[str, int], name: str, log: Path) -> Shaken:
    """Connect and shake hands; the context's secrets are logged to a file."""
    context.keylog_filename = str(log)
    sock = socket.create_connection(address, timeout=30)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    first = b""
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            received = sock.recv(65536)
            if not received:
                raise ConnectionResetError("closed in the middle of the handshake") from None
            first = first or received
            incoming.write(received)
    sock.sendall(outgoing.read())
    lines = [line.split() for line in log.read_text().splitlines() if not line.startswith("#")]
    found = tls.cipher()
    assert found is not None
    return Shaken(
        sock=sock,
        cipher=found[0],
        secrets={label: bytes.fromhex(secret) for label, _, secret in lines},
        client_random=bytes.fromhex(lines[-1][1]),
        # Record header, handshake header, version.
        server_random=first[11:43],
    )


def key_updates(shaken: Shaken, request: bytes) -> Iterator[bytes]:
    """Yield records of TLS 1.3, without end, that ask the server to update its keys; after the first, a request."""
    assert shaken.cipher == "TLS_AES_256_GCM_SHA384"
    secret = shaken.secrets["CLIENT_TRAFFIC_SECRET_0"]
    yield _sealed(secret, 0, _UPDATE_REQUESTED + _HANDSHAKE)
    secret = _updated(secret)
    # Answered only if the server has the same new key.
    yield _sealed(secret, 0, request + _APPLICATION) + _sealed(secret, 1, _UPDATE_REQUESTED + _HANDSHAKE)
    while True:
        secret = _updated(secret)
        yield _sealed(secret, 0, _UPDATE_REQUESTED + _HANDSHAKE)


def _sealed(secret: bytes, sequence: int, content: bytes) -> bytes:
    key, iv = _expand(secret, b"key", 32), _expand(secret, b"iv", 12)
    nonce = (int.from_bytes(iv, "big") ^ sequence).to_bytes(12, "big")
    header = _APPLICATION + b"\x03\x03" + (len(content) + 16).to_bytes(2, "big")
    return header + AESGCM(key).encrypt(nonce, content, header)


def _updated(secret: bytes) -> bytes:
    return _expand(secret, b"traffic upd", 48)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    info = length.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)


def renegotiations(shaken: Shaken, context: ssl.SSLContext) -> Iterator[bytes]:
    """Yield records of TLS 1.2, without end, each of which asks to shake hands again."""
    assert shaken.cipher.endswith("AES256-GCM-SHA384")
    random = shaken.server_random + shaken.client_random
    block = _prf(shaken.secrets["CLIENT_RANDOM"], b"key expansion" + random, 72)
    cipher, salt = AESGCM(block[:32]), block[64:68]
    hello = _hello(context)
    # The first record under these keys was the end of the handshake.
    for number in range(1, 1 << 62):
        sequence = number.to_bytes(8, "big")
        header = _HANDSHAKE + b"\x03\x03"
        sealed = cipher.encrypt(salt + sequence, hello, sequence + header + len(hello).to_bytes(2, "big"))
        yield header + (8 + len(sealed)).to_bytes(2, "big") + sequence + sealed


def _hello(context: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()[5:]


def _prf(secret: bytes, seed: bytes, length: int) -> bytes:
    made, step = b"", seed
    while len(made) < length:
        step = hmac.digest(secret, step, "sha384")
        made += hmac.digest(secret, step + seed, "sha384")
    return made[:length]
