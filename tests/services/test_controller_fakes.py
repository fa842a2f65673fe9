"""The fakes of the controller's ports keep the contracts of the adapters."""

from __future__ import annotations

import pytest

from tests.services.controller_contracts import (
    EventsContract,
    EventsWorld,
    LeasesContract,
    PodsContract,
    PodsWorld,
    Recorded,
)
from tests.services.controller_fakes import FakeEvents, FakeLeases, FakePods
from webhook.core.review import Json
from webhook.ports import Leases


class TestFakeLeases(LeasesContract):
    @pytest.fixture
    def leases(self) -> Leases:
        return FakeLeases()


class FakePodsWorld:
    def __init__(self) -> None:
        self.pods = FakePods()

    def make_pod(self, pod: Json) -> None:
        self.pods.pods.append(pod)


class TestFakePods(PodsContract):
    @pytest.fixture
    def pods_world(self) -> PodsWorld:
        return FakePodsWorld()


class FakeEventsWorld:
    def __init__(self) -> None:
        self.events = FakeEvents()

    def recorded(self) -> list[Recorded]:
        return [
            Recorded(
                reason=found.reason,
                kind=found.about.kind,
                namespace=found.about.namespace,
                name=found.about.name,
                text=found.text,
                warning=found.warning,
                count=found.count,
            )
            for found in self.events.emitted
        ]


class TestFakeEvents(EventsContract):
    @pytest.fixture
    def events_world(self) -> EventsWorld:
        return FakeEventsWorld()
