"""Pods as JSON to whether they take content from `ghcr-secret`, as the core says of them whole."""

import json

import pytest

from tests.edges.decoding import decoded
from tests.matching import MOUNTS
from webhook.cluster.objects import mounts_copy

WRONG_KINDS = {case for case in MOUNTS if "other kinds" in case}


@pytest.mark.parametrize("case", sorted(MOUNTS.keys() - WRONG_KINDS))
def test_what_is_read_of_a_pod_says_what_the_whole_says(case: str) -> None:
    spec, expected = MOUNTS[case]
    assert mounts_copy(json.dumps({"metadata": {"name": "p"}, "spec": spec}).encode()) is expected


@pytest.mark.parametrize("case", sorted(WRONG_KINDS))
def test_what_no_api_server_stores_has_not_the_shape_of_a_pod(case: str) -> None:
    with pytest.raises(ValueError, match="not the JSON of Pod"):
        mounts_copy(json.dumps({"spec": MOUNTS[case][0]}).encode())


def test_a_pod_that_reads_the_secret_into_a_variable_is_listed_as_one_that_mounts_it() -> None:
    spec, _ = MOUNTS["a variable"]
    assert decoded({"metadata": {"name": "p", "namespace": "a"}, "spec": spec})[0]["spec"]["volumes"] == [
        {"secret": {"secretName": "ghcr-secret"}}
    ]
    other, _ = MOUNTS["a Secret volume of another name"]
    assert "volumes" not in decoded({"metadata": {"name": "p", "namespace": "a"}, "spec": other})[0]["spec"]
