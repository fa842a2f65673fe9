"""The fakes keep the contracts that the adapters keep, so a service tested with one works with the other."""

import pytest

from tests.services.contracts.facts import FactsContract
from tests.services.contracts.world import World, copy, soon
from tests.services.contracts.writer import WriterContract
from tests.services.fakes import FakeCluster
from webhook.ports import Conflict, Unavailable


@pytest.fixture
def world() -> World:
    return FakeCluster()


class TestFakeFacts(FactsContract):
    pass


class TestFakeSecretWriter(WriterContract):
    pass


def test_a_call_fails_as_often_as_it_was_told_to() -> None:
    cluster = FakeCluster()
    cluster.make_namespace("a")
    cluster.fail("create", Unavailable("create", "secrets", code=503), times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            cluster.writer.create(copy("a"), soon())
    cluster.writer.create(copy("a"), soon())
    assert len(cluster.called("create")) == 3


def test_somebody_else_can_be_faster() -> None:
    cluster = FakeCluster()
    cluster.make_namespace("a")
    mine = cluster.writer.create(copy("a"), soon())
    cluster.before("delete", lambda: cluster.make_secret(copy("a")))
    with pytest.raises(Conflict):
        cluster.writer.delete(mine, soon())
