"""The terms under which certificates are kept, as flags."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from certs.keeper import Terms
from webhook.config import ConfigError, Raw, resolve
from webhook.config.controller import CERTIFICATE_SETTINGS, terms_of


def terms(flags: Raw | None = None, environ: Mapping[str, str] | None = None) -> Terms:
    values = resolve(CERTIFICATE_SETTINGS, flags or {}, environ or {})
    return terms_of(values, service="hooks", namespace="ops")


def test_the_defaults_are_those_of_the_plan_for_the_services_names() -> None:
    names = ("hooks.ops.svc", "hooks.ops.svc.cluster.local")
    assert terms() == Terms(dns_names=names, common_name="hooks webhook CA")


def test_everything_can_be_set() -> None:
    found = terms(
        {"ca_validity": "36h", "leaf_validity": "24h", "overlap": "2.5m", "settle": "1s"},
        {"GHCR_PULL_SECRETS_EXTRA_DNS_NAME": "localhost, hooks.example.org"},
    )
    assert found.dns_names[2:] == ("localhost", "hooks.example.org")
    assert (found.ca_validity, found.leaf_validity) == (timedelta(hours=36), timedelta(days=1))
    assert (found.overlap, found.settle) == (timedelta(seconds=150), timedelta(seconds=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ca_validity", "77"),
        ("ca_validity", "36501d"),
        ("leaf_validity", "-1d"),
        ("overlap", "1 hour"),
        ("settle", "1w"),
        ("extra_dns_name", ("localhost", "127.0.0.1")),
        ("extra_dns_name", ("No_Name",)),
    ],
)
def test_a_wrong_value_is_a_fault_of_its_flag(name: str, value: str | tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        terms({name: value})
    (fault,) = caught.value.faults
    assert fault.flag == "--" + name.replace("_", "-")
    assert str(value) not in fault.problem


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        ({"settle": "1h"}, "--overlap"),
        ({"ca_validity": "1h"}, "--ca-validity"),
        ({"leaf_validity": "1h"}, "--leaf-validity"),
    ],
    ids=["overlap", "ca", "leaf"],
)
def test_terms_that_do_not_go_together_are_a_fault(flags: dict[str, str], flag: str) -> None:
    with pytest.raises(ConfigError) as caught:
        terms(flags)
    assert [fault.flag for fault in caught.value.faults] == [flag]
