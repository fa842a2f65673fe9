"""Settings of the credential watch."""

import re
from typing import Final

from webhook.config import values
from webhook.config.resolving import Setting, under
from webhook.config.values import BadValue

_LEAST_INTERVAL_S: Final = 10.0
"""The watch is a guest at the registry; what changes in the cluster is checked at once in any case."""

_HTTPS_URL: Final = re.compile(
    r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)


def interval(text: str) -> float:
    """Read a duration of at least ten seconds."""
    seconds = values.seconds(text)
    if seconds < _LEAST_INTERVAL_S:
        raise BadValue(f"expected at least {_LEAST_INTERVAL_S:.0f}s")
    return seconds


def api_url(text: str) -> str:
    """Read an HTTPS address; `none` is none."""
    if text == "none":
        return ""
    match = _HTTPS_URL.fullmatch(text)
    if match is None or int(match["port"] or 443) > 65535:
        raise BadValue("expected https://HOST[:PORT][/PATH], or none")
    return text


CREDENTIAL_SETTINGS: Final = under(
    "Credential check",
    Setting(
        name="credential_check",
        switch=True,
        default="true",
        parse=values.switch,
        help="Ask the registry whether it accepts the central secret's credential, and GitHub until when.",
    ),
    Setting(
        name="credential_check_interval",
        metavar="DURATION",
        default="60m",
        parse=interval,
        help="Time between two checks of an unchanged credential.",
    ),
    Setting(
        name="credential_api_url",
        metavar="URL|none",
        default="https://api.github.com/",
        parse=api_url,
        help="GitHub's API, which tells a ghcr.io token's scopes and end; none not to ask it.",
    ),
)
"""What is asked about the credential, where and how often."""
