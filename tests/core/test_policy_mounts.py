"""Which pod specs take content from a Secret."""

import pytest

from tests.matching import MOUNTS
from webhook.core.policy import mounts
from webhook.core.workloads import MAX_ENTRIES


@pytest.mark.parametrize("case", MOUNTS)
def test_a_pod_spec_that_mounts_the_secret_is_known(case: str) -> None:
    spec, expected = MOUNTS[case]
    assert mounts(spec, "ghcr-secret") is expected
    assert not mounts(spec, "another-secret")


def test_no_more_of_a_list_is_looked_at_than_the_bound() -> None:
    volumes = [{"name": "v"}] * MAX_ENTRIES + [{"secret": {"secretName": "ghcr-secret"}}]
    assert not mounts({"volumes": volumes}, "ghcr-secret")
    assert mounts({"volumes": volumes[1:]}, "ghcr-secret")
