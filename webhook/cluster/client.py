"""HTTP client for the API server with connection pool and deadlines.

Bodies stay plain JSON: building the client's model objects would cost more than everything else here together. Bodies
are read to their end so that connections are used again.
"""

import importlib.metadata
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import orjson
import structlog
import urllib3

from webhook.cluster.access import UNREADABLE, Loader, configure, connection_pool
from webhook.cluster.requests import PatchType, Target
from webhook.cluster.responses import (
    MALFORMED,
    Bodies,
    LineStream,
    deadline_passed,
    error_from_answer,
    error_from_failure,
    read_status,
)
from webhook.cluster.wire import OBJECT_BYTES
from webhook.ports import Deadline, NotFound, Unauthorized, Unavailable
from webhook.trust import Trust

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP and TLS; a node that is gone answers nothing, and another try may reach another one."""

DEFAULT_POOL_SIZE: Final = 48
"""Idle connections kept: 16 review threads, 16 writers of the controller, the watches, and room to spare."""

METADATA_ONLY: Final = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)
"""Media types for which the API server leaves out all but the metadata of objects."""


class Client:
    """Asks an API server. Safe to share between threads.

    Every call ends by its deadline, is tried once, and raises `webhook.ports.ClusterError`. Only a 401 is tried again,
    at once and once, if the token was replaced meanwhile.
    """

    def __init__(
        self,
        load: Loader,
        *,
        source: str = "in-cluster",
        pool_size: int = DEFAULT_POOL_SIZE,
        trust: Trust | None = None,
    ) -> None:
        """Load the configuration; nothing is asked yet.

        Args:
            load: Fills the configuration.
            source: Where from, for errors.
            pool_size: Idle connections to keep.
            trust: For an API server whose configuration names no CA, and for an HTTPS proxy; by default the system's.

        Raises:
            Unreachable: It cannot be loaded.
        """
        configuration = configure(load, source)
        configuration.connection_pool_maxsize = pool_size
        configuration.retries = False
        self._load = load
        self._configuration = configuration
        self._host = configuration.host
        self._pool = connection_pool(configuration, trust or Trust())
        self._agent = f"ghcr-pull-secrets/{importlib.metadata.version('ghcr-pull-secrets')}"
        self._reload = threading.Lock()
        self._bodies = Bodies()
        self._listeners: list[Callable[[str, str, int], None]] = []
        self._log = structlog.get_logger()

    def on_request(self, listener: Callable[[str, str, int], None]) -> None:
        """Report every request from now on: verb, resource, and HTTP status or 0 if there was no answer."""
        self._listeners.append(listener)

    def request(
        self,
        target: Target,
        deadline: Deadline,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        patch_type: PatchType = PatchType.STRATEGIC,
    ) -> None:
        """Ask once, for a change of which nothing in the answer is looked at but that it is JSON.

        Raises:
            ClusterError: Any of them, see `webhook.cluster.responses`.
        """
        self.read(target, deadline, orjson.loads, query=query, body=body, patch_type=patch_type)

    def read(  # noqa: PLR0913 (a request has that many parts)
        self,
        target: Target,
        deadline: Deadline,
        decode: Callable[[bytearray], T],
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        patch_type: PatchType = PatchType.STRATEGIC,
        max_bytes: int = OBJECT_BYTES,
        accept: str = "application/json",
    ) -> T:
        """Ask once and return what is made of the body.

        Args:
            target: What.
            deadline: For all of it.
            decode: Makes something of the body, and keeps no reference to it; what it raises of `MALFORMED` means that
                something else than the API server answered.
            query: Query parameters.
            body: JSON to send.
            patch_type: Media type of it, for a PATCH.
            accept: Media types to ask for.
            max_bytes: Largest body that is read.

        Raises:
            TooLarge: The body is larger.
            ClusterError: Any other, see `webhook.cluster.responses`.
        """
        response = self._open(target, deadline, query=query, body=body, patch_type=patch_type, accept=accept)
        with self._bodies.read(response, target, deadline, max_bytes=max_bytes) as content:
            try:
                return decode(content)
            except MALFORMED:
                raise target.error(Unavailable, code=response.status) from None

    def find(
        self,
        target: Target,
        deadline: Deadline,
        decode: Callable[[bytearray], T],
        *,
        accept: str = "application/json",
    ) -> T | None:
        """Read one object (see `read`); `None` if it does not exist."""
        try:
            return self.read(target, deadline, decode, accept=accept)
        except NotFound:
            return None

    def answer(
        self, target: Target, deadline: Deadline, *, query: Mapping[str, str], body: object
    ) -> tuple[int, bytes]:
        """Ask once and return status and body, whatever the API server says: for what is reported to a person.

        Args:
            target: What.
            deadline: For all of it.
            query: Query parameters.
            body: JSON to send.

        Raises:
            ClusterError: There is no answer. A body longer than a `v1` `Status` could be is left out.
        """
        response = self._ask(target, deadline, query=query, body=body)
        return response.status, read_status(response, target, deadline)

    def stream(self, target: Target, *, query: Mapping[str, str], header_timeout: float, lasts: float) -> "LineStream":
        """Ask for a body that goes on for long, such as a watch.

        Args:
            target: What.
            query: Query parameters.
            header_timeout: Seconds until the headers are there.
            lasts: Seconds from the headers until the body must have ended, whatever comes meanwhile.
        """
        response = self._open(target, Deadline.after(header_timeout), query=query)
        return LineStream(response, target, Deadline.after(lasts))

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _open(self, target: Target, deadline: Deadline, **request: Any) -> urllib3.BaseHTTPResponse:
        response = self._ask(target, deadline, **request)
        if not 200 <= response.status < 300:
            content = read_status(response, target, deadline)
            raise error_from_answer(target, response.status, content, response.headers.get("Retry-After"))
        return response

    def _ask(
        self,
        target: Target,
        deadline: Deadline,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        patch_type: PatchType = PatchType.STRATEGIC,
        accept: str = "application/json",
    ) -> urllib3.BaseHTTPResponse:
        authorization = self._authorization(target)
        response = self._send(target, deadline, authorization, query, body, patch_type, accept)
        if response.status == 401 and self._token_was_replaced(target, authorization):
            read_status(response, target, deadline)
            response = self._send(target, deadline, self._authorization(target), query, body, patch_type, accept)
        return response

    def _send(  # noqa: PLR0913, PLR0917 (as above)
        self,
        target: Target,
        deadline: Deadline,
        authorization: str | None,
        query: Mapping[str, str] | None,
        body: object,
        patch_type: PatchType,
        accept: str,
    ) -> urllib3.BaseHTTPResponse:
        remaining = deadline.remaining()
        if remaining <= 0:
            raise deadline_passed(target)
        headers = {"Accept": accept, "User-Agent": self._agent}
        if authorization:
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = patch_type if target.verb.method == "PATCH" else "application/json"
        url = self._host + target.path + (f"?{urlencode(query)}" if query else "")
        code = 0
        try:
            response = self._pool.request(
                target.verb.method,
                url,
                body=None if body is None else orjson.dumps(body),
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(remaining, CONNECT_TIMEOUT), total=remaining),
            )
            code = response.status
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise error_from_failure(target, failure, timed_out=deadline.remaining() <= 0) from None
        finally:
            for listener in self._listeners:
                listener(target.verb, target.resource, code)
        return response

    def _authorization(self, target: Target) -> str | None:
        """Read the current token; the official client re-reads the mounted file once a minute by itself."""
        try:
            value: str | None = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except UNREADABLE:
            raise target.error(Unauthorized) from None
        if value is None:
            return None
        value = value.strip()
        if not (value.isascii() and value.isprintable()):
            # `http.client` would put the value into the text of its error.
            raise target.error(Unauthorized)
        return value

    def _token_was_replaced(self, target: Target, refused: str | None) -> bool:
        with self._reload:
            if self._authorization(target) != refused:
                return True  # another thread was here first
            try:
                self._load(self._configuration)
            except UNREADABLE:
                self._log.warning("token_unreadable")
                return False
            replaced = self._authorization(target) != refused
        self._log.info("token_reloaded", replaced=replaced)
        return replaced
