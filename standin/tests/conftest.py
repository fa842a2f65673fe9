"""Servers for the tests of the stand-in. Those without controllers change only what a test changes."""

from collections.abc import Iterator

import pytest

from standin import ApiServer
from standin.tests.http import Http


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """A server without controllers, with a namespace `app`."""
    with ApiServer(controllers=None) as server:
        server.load([{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "app"}}])
        yield server


@pytest.fixture
def http(api: ApiServer) -> Iterator[Http]:
    """A connection to it as the administrator."""
    client = Http(api)
    yield client
    client.close()
