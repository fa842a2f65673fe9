"""Protocol between the event loop and the HTTP application."""

from typing import Any, Protocol

from webhook.server.visit import Visit


class Request(Protocol):
    """The head of a request, read."""

    head: int
    length: int
    expects_continue: bool

    def force_close(self) -> None:
        """Close the connection after the answer, and say so in it."""
        ...


class BadHead(Exception):
    """What came is no HTTP request that we answer.

    Attributes:
        answer: Its refusal, ready to send.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__("bad head")
        self.answer = answer


class Http(Protocol):
    """Reads heads and answers requests."""

    def read_head(self, head: bytes, address: Any) -> Request:
        """Read a head; `BadHead` if it is none. A `length` of 0 also stands for a body that is not to be received."""
        ...

    def answer(self, request: Any, body: bytes, visit: Visit) -> tuple[bytes, bool]:
        """Answer; and say whether the connection is to be closed after it."""
        ...
