"""Reviews that no API server sends: the short form of `make bench broken`, in one process."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.serving import mutants
from tests.objects import CANARY, RELEASE_NAMESPACE, secret
from tests.services.admissions import admission
from tests.services.fakes import FakeCluster
from webhook.core.vocabulary import Provisioning
from webhook.server.app import create_app
from webhook.server.limits import MIB, derive
from webhook.telemetry.metrics import Metrics


@pytest.fixture(scope="module")
def client():  # type: ignore[no-untyped-def]  # Flask's test client
    cluster = FakeCluster()
    cluster.make_namespace(RELEASE_NAMESPACE)
    cluster.make_secret(secret())
    for index in range(10):
        cluster.make_namespace(f"team-{index:05d}")
    metrics = Metrics(version="test", watches=tuple, certificate_expiry=lambda: None, provisioning_results=Provisioning)
    return create_app(
        admission(cluster), metrics, limits=derive(memory_bytes=256 * MIB, threads=16, body_bytes=MIB)
    ).test_client()


@pytest.mark.parametrize("seed", range(8))
def test_no_broken_review_is_an_error_of_ours(client, seed: int) -> None:  # type: ignore[no-untyped-def]
    seen = set()
    for index, body in enumerate(mutants(random.Random(seed), 150)):
        answer = client.post("/mutate" if index % 2 else "/validate", data=body, content_type="application/json")
        assert answer.status_code in (200, 400, 413), body
        assert CANARY.encode() not in answer.data
        seen.add(answer.status_code)
    assert {200, 400} <= seen


@given(body=st.binary(max_size=200))
def test_no_bytes_are_an_error_of_ours(client, body: bytes) -> None:  # type: ignore[no-untyped-def]
    assert client.post("/mutate", data=body, content_type="application/json").status_code == 400
