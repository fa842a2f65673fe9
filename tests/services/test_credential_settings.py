"""The flags of the credential watch."""

import pytest

from webhook.config.controller import CREDENTIAL_SETTINGS
from webhook.config.resolving import ConfigError, resolve
from webhook.registry.client import GITHUB_API, parse_api_url


def test_the_credential_is_checked_every_hour_unless_told_otherwise() -> None:
    assert resolve(CREDENTIAL_SETTINGS, {}, {}) == {
        "credential_check": True,
        "credential_check_interval": 3600.0,
        "credential_api_url": GITHUB_API,
    }


def test_check_interval_and_api_can_be_set() -> None:
    flags = {"credential_check": "false", "credential_check_interval": "10s", "credential_api_url": "none"}
    assert resolve(CREDENTIAL_SETTINGS, flags, {}) == {
        "credential_check": False,
        "credential_check_interval": 10.0,
        "credential_api_url": "",
    }


@pytest.mark.parametrize(
    "text", ["https://h", "https://h.example:8443/api/v3", "https://[::1]:1/", "https://127.0.0.1/"]
)
def test_an_api_that_is_taken_can_be_used(text: str) -> None:
    found = resolve(CREDENTIAL_SETTINGS, {"credential_api_url": text}, {})
    assert parse_api_url(found["credential_api_url"]).host


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("credential_check_interval", "9s"),
        ("credential_check_interval", "0.5s"),
        ("credential_check_interval", "hourly"),
        ("credential_api_url", "http://api.github.com/"),
        ("credential_api_url", "api.github.com"),
        ("credential_api_url", "https://user:canary@h/"),
        ("credential_api_url", "https://h/?canary"),
        ("credential_api_url", "https://h:99999/"),
        ("credential_check", "canary"),
    ],
)
def test_a_bad_value_is_named_but_not_repeated(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(CREDENTIAL_SETTINGS, {name: text}, {})
    (fault,) = caught.value.faults
    assert fault.flag == "--" + name.replace("_", "-")
    assert text not in fault.problem
    assert "canary" not in fault.problem
