"""The credential watch, over a registry, a cluster and clocks in memory."""

import json
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, payload, secret
from tests.services.contracts.registry import GOOD, UNTIL, WRONG, RegistryContract, RegistryWorld
from tests.services.contracts.world import soon
from tests.services.controller_fakes import FakeEvents, ManualClock
from tests.services.credential_fakes import END, FakeRegistry, keyring
from tests.services.fakes import FakeCluster
from webhook.core.keyring import DOCKER_CONFIG_JSON, Credential, Keyring
from webhook.core.vocabulary import CredentialState
from webhook.credential import CredentialWatch
from webhook.credential.judging import (
    MAX_TARGETS,
    CredentialReport,
    LoginTarget,
    expiry_from_header,
    expiry_warning,
    judge,
    missing_scope,
    next_check_s,
    scopes_from_header,
    targets,
)
from webhook.credential.probing import ask
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, EventReason, LoginAnswer, RegistryFault, Unavailable
from webhook.telemetry.metrics import Metrics

DAY = timedelta(days=1)
ACCEPTED, REJECTED = CredentialState.ACCEPTED, CredentialState.REJECTED
UNREACHABLE, NOT_CHECKED = CredentialState.UNREACHABLE, CredentialState.NOT_CHECKED


class TestFakeRegistry(RegistryContract):
    @pytest.fixture
    def world(self) -> RegistryWorld:
        return FakeRegistry()


# --- judging


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [
        (None, 200, ACCEPTED),
        (None, 204, ACCEPTED),
        (None, 401, REJECTED),
        (None, 403, REJECTED),
        (None, 408, UNREACHABLE),
        (None, 429, UNREACHABLE),
        (None, 500, UNREACHABLE),
        (None, 503, UNREACHABLE),
        (None, 302, NOT_CHECKED),
        (None, 400, NOT_CHECKED),
        (None, 404, NOT_CHECKED),
        (None, 0, NOT_CHECKED),
        (RegistryFault.REDIRECT, 302, NOT_CHECKED),
        (RegistryFault.NO_CHALLENGE, 200, NOT_CHECKED),
        (RegistryFault.NO_CHALLENGE, 403, NOT_CHECKED),
        (RegistryFault.REALM_REFUSED, 401, NOT_CHECKED),
        (RegistryFault.MALFORMED, 200, NOT_CHECKED),
        (RegistryFault.TOO_LARGE, 0, NOT_CHECKED),
    ],
)
def test_an_answer_is_judged_by_its_fault_first_and_then_by_its_code(
    fault: RegistryFault | None, code: int, state: CredentialState
) -> None:
    assert judge(LoginAnswer(code=code, fault=fault)) is state


def test_no_fault_and_no_failure_is_ever_a_verdict() -> None:
    for fault in RegistryFault:
        assert judge(LoginAnswer(code=200, fault=fault)) is NOT_CHECKED
    for failed in ConnectionFault:
        assert judge(LoginAnswer(failure=ConnectionFailure(fault=failed))) is UNREACHABLE


@pytest.mark.parametrize(
    ("header", "token", "scopes", "missing"),
    [
        ("read:packages", "ghp_x", {"read:packages"}, ""),
        ("repo, write:packages", "ghp_x", {"repo", "write:packages"}, ""),
        (" read:packages ,,repo ", "ghp_x", {"read:packages", "repo"}, ""),
        ("repo", "ghp_x", {"repo"}, "read:packages"),
        ("delete:packages", "ghp_x", {"delete:packages"}, "read:packages"),
        ("READ:PACKAGES", "ghp_x", {"READ:PACKAGES"}, "read:packages"),
        ("", "ghp_x", set(), "read:packages"),
        ("", "ghs_x", None, ""),
        ("", "github_pat_x", None, ""),
        (None, "ghp_x", None, ""),
    ],
)
def test_a_scope_is_missing_only_if_the_scopes_are_known(
    header: str | None, token: str, scopes: set[str] | None, missing: str
) -> None:
    found = scopes_from_header(header, token=token)
    assert found == scopes
    assert missing_scope(found) == missing


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("2026-11-30 10:00:00 UTC", END),
        ("2026-11-30 02:00:00 -0800", END),
        ("2026-11-30 19:00:00 +0900", END),
        ("  2026-11-30 10:00:00 UTC ", END),
        (None, None),
        ("", None),
        ("never", None),
        ("2026-11-30", None),
        ("2026-11-30 10:00:00", None),
        ("2026-11-30 10:00:00 PST", None),
        ("2026-13-30 10:00:00 UTC", None),
        ("2026-02-30 10:00:00 UTC", None),
        ("2026-11-30 25:00:00 UTC", None),
        ("2026-11-30 10:00:00 +9999", None),
        ("٢٠٢٦-11-30 10:00:00 UTC", None),
        ("2026-11-30 10:00:00 UTC" * 1000, None),
    ],
)
def test_the_end_of_a_token_is_read_in_both_formats_of_github(header: str | None, expected: datetime | None) -> None:
    assert expiry_from_header(header) == expected


@pytest.mark.parametrize(
    ("left", "reported", "due"),
    [
        (15 * DAY, None, None),
        (14 * DAY, None, 14 * DAY),
        (4 * DAY, None, 14 * DAY),
        (4 * DAY, 14 * DAY, None),
        (3 * DAY, 14 * DAY, 3 * DAY),
        (2 * DAY, None, 3 * DAY),
        (2 * DAY, 3 * DAY, None),
        (DAY, 3 * DAY, DAY),
        (0 * DAY, 14 * DAY, DAY),
        (-DAY, DAY, None),
        (10 * DAY, DAY, None),
    ],
)
def test_each_expiry_warning_is_due_once(left: timedelta, reported: timedelta | None, due: timedelta | None) -> None:
    assert expiry_warning(END, now=END - left, reported=reported) == due


def test_a_token_without_end_needs_no_warning() -> None:
    assert expiry_warning(None, now=END, reported=None) is None


@pytest.mark.parametrize(
    ("states", "failures", "seconds"),
    [
        ([], 0, 3600),
        ([ACCEPTED], 0, 3600),
        ([REJECTED, NOT_CHECKED], 0, 3600),
        ([ACCEPTED, UNREACHABLE], 1, 60),
        ([UNREACHABLE], 2, 120),
        ([UNREACHABLE], 6, 1920),
        ([UNREACHABLE], 7, 3600),
        ([UNREACHABLE], 10_000, 3600),
    ],
)
def test_an_unreachable_registry_is_asked_again_soon_and_then_less_often(
    states: list[CredentialState], failures: int, seconds: float
) -> None:
    for jitter, factor in ((0.0, 0.9), (0.5, 1.0), (1.0, 1.1)):
        found = next_check_s(states, interval_s=3600, failures=failures, jitter=jitter)
        assert found == pytest.approx(seconds * factor)


@pytest.mark.parametrize(
    ("location", "pattern", "registry"),
    [
        ("ghcr.io", "ghcr.io/*", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io/*", "ghcr.io"),
        ("GHCR.IO", "ghcr.io/*", "ghcr.io"),
        ("ghcr.io", "GHCR.io:443/*", "ghcr.io"),
        ("ghcr.io:443", "ghcr.io/*", "ghcr.io"),
        ("ghcr.io:0443", "ghcr.io/*", "ghcr.io"),
        ("ghcr.io", "ghcr.io:000443/*", "ghcr.io"),
        ("ghcr.io:05000", "ghcr.io:5000/*", "ghcr.io:5000"),
        ("ghcr.io:5000", "ghcr.io:005000/*", "ghcr.io:5000"),
        ("ghcr.io:0", "ghcr.io:00/*", "ghcr.io:0"),
        ("[::1]:05000", "[::1]:5000/*", "[::1]:5000"),
        ("[2001:db8::1]", "[2001:DB8::1]/*", "[2001:db8::1]"),
        ("ghcr.io/sesacthon", "ghcr.io/*", "ghcr.io"),
        ("ghcr.io/ses", "ghcr.io/sesacthon/*", "ghcr.io"),
        ("ghcr.io/sesacthon", "ghcr.io/sesacthon/app", "ghcr.io"),
        ("ghcr.io/other", "ghcr.io/sesacthon/*", ""),
        ("*.example.com", "r.example.com/*", "r.example.com"),
        ("*.example.com", "a.b.example.com/*", ""),
        ("*.example.com", "r.example.org/*", ""),
        ("r.example.com", "*.example.com/*", "r.example.com"),
        ("r.example.com:5000", "r.example.com:5000/*", "r.example.com:5000"),
        ("r.example.com", "r.example.com:5000/*", ""),
        ("r.example.com:5000", "r.example.com/*", ""),
        ("*.example.com", "*.example.com/*", ""),
        ("docker.io", "ghcr.io/*", ""),
    ],
)
def test_a_credential_is_asked_about_where_its_location_and_a_pattern_meet(
    location: str, pattern: str, registry: str
) -> None:
    found = targets(keyring(**{location: "p"}), (pattern,))
    assert [target.registry for target in found] == ([registry] if registry else [])


def test_each_credential_is_asked_about_once_and_empty_ones_never() -> None:
    found = targets(
        Keyring.from_secret(
            DOCKER_CONFIG_JSON,
            b'{"auths":{"ghcr.io":{"auth":"dTpw"},"ghcr.io/a":{"auth":"dTpw"},"ghcr.io/b":{},"ghcr.io/c":{"password":"p"}}}',
        ),
        ("ghcr.io/*", "ghcr.io/a/*"),
    )
    assert found == (LoginTarget(registry="ghcr.io", credential=Credential(username="u", password="p")),)


def test_a_secret_with_very_many_entries_is_asked_about_in_part() -> None:
    assert len(targets(keyring(**{f"ghcr.io/team{n}": f"p{n}" for n in range(100)}), ("ghcr.io/*",))) == MAX_TARGETS


# --- the watch


class World:
    """A watch and everything around it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cluster.make_namespace(RELEASE_NAMESPACE)
        self.registry = FakeRegistry()
        self.events = FakeEvents()
        self.clock = ManualClock()
        self.today = END - 60 * DAY
        self.counted: Counter[str] = Counter()
        self.watch = CredentialWatch(
            rules=RULES,
            facts=self.cluster.facts,
            registry=self.registry,
            events=self.events,
            interval_s=3600,
            count=lambda state: self.counted.update([state]),
            now=lambda: self.today,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def central(self, content: bytes | None) -> None:
        self.cluster.make_secret(secret(payload=content))

    def keep_until_due(self) -> float:
        self.clock.advance(3600)
        return self.watch.keep()

    @property
    def reported(self) -> list[EventReason]:
        return [event.reason for event in self.events.emitted for _ in range(event.count)]

    @property
    def accepted(self) -> dict[str, bool | None]:
        return {figures.registry: figures.accepted for figures in self.watch.figures}


@pytest.fixture
def world() -> World:
    made = World()
    made.registry.issue(GOOD, scopes="read:packages", expiration=UNTIL)
    made.central(payload())
    return made


def test_a_report_says_accepted_with_scopes_and_end(world: World) -> None:
    assert ask(world.registry, LoginTarget(registry="ghcr.io", credential=GOOD), None, soon()) == CredentialReport(
        registry="ghcr.io", state=ACCEPTED, code=200, scopes=frozenset({"read:packages"}), expires_at=END
    )


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{}", b"not json", b'{"auths":{"ghcr.io":{"auth":"!"}}}', payload(registry="docker.io")],
    ids=["no key", "empty", "no entries", "no JSON", "malformed", "another registry"],
)
def test_without_a_credential_for_a_selected_image_nobody_is_asked(world: World, content: bytes | None) -> None:
    for central in (secret(payload=content), secret(type="Opaque")):
        world.cluster.make_secret(central)
        world.watch.keep()
    assert world.registry.logins == []


def test_without_a_central_secret_nobody_is_asked(world: World) -> None:
    world.cluster.remove_secret(RELEASE_NAMESPACE)
    world.watch.keep()
    assert world.registry.logins == []


def test_only_tokens_of_ghcr_are_shown_to_the_api_and_only_once_accepted(world: World) -> None:
    world.registry.answers["r.example.com"] = LoginAnswer(code=200)
    watch = CredentialWatch(
        rules=type(RULES)(
            patterns=type(RULES.patterns)(include=("ghcr.io/*", "r.example.com/*")),
            release_namespace=RELEASE_NAMESPACE,
        ),
        facts=world.cluster.facts,
        registry=world.registry,
        events=world.events,
        interval_s=3600,
    )
    entries = {"r.example.com": {"username": "robot", "password": CANARY}}
    for content in (json.dumps({"auths": entries}).encode(), payload(token=WRONG.password)):
        world.central(content)
        watch.keep()
    assert len(world.registry.logins) == 2
    assert world.registry.described == []


def test_a_good_credential_makes_no_event_and_is_left_alone_until_it_is_time(world: World) -> None:
    assert world.watch.keep() == 3600
    world.clock.advance(600)
    assert world.watch.keep() == 3000
    assert len(world.registry.logins) == 1
    world.clock.advance(3000)
    assert world.watch.keep() == 3600
    assert len(world.registry.logins) == 2
    assert world.reported == []
    assert [(f.registry, f.accepted, f.expires_at) for f in world.watch.figures] == [("ghcr.io", True, END.timestamp())]
    assert world.counted == {"accepted": 2}


def test_changed_content_is_checked_at_once_and_other_changes_are_not(world: World) -> None:
    world.watch.keep()
    world.cluster.make_secret(secret(payload=payload(), extra_keys=True))
    world.watch.keep()
    assert len(world.registry.logins) == 1
    world.central(payload(token=WRONG.password))
    assert world.watch.keep() == 3600
    assert world.accepted == {"ghcr.io": False}
    assert world.reported == [EventReason.CREDENTIAL_REJECTED]


def test_a_rejected_credential_is_reported_once_and_again_only_after_it_was_good(world: World) -> None:
    world.registry.revoke(GOOD)
    world.watch.keep()
    world.keep_until_due()
    assert world.reported == [EventReason.CREDENTIAL_REJECTED]
    (event,) = world.events.emitted
    assert event.warning
    assert (event.about.kind, event.about.namespace, event.about.name) == ("Secret", RELEASE_NAMESPACE, "ghcr-secret")
    assert "ghcr.io does not accept the credential (HTTP 403)" in event.text
    world.registry.issue(GOOD)
    world.keep_until_due()
    world.registry.revoke(GOOD)
    world.keep_until_due()
    assert world.reported == [EventReason.CREDENTIAL_REJECTED] * 2


def test_a_token_that_may_not_read_packages_is_reported_and_counts_as_not_accepted(world: World) -> None:
    world.registry.issue(GOOD, scopes="repo")
    world.watch.keep()
    world.keep_until_due()
    assert world.reported == [EventReason.CREDENTIAL_INSUFFICIENT]
    assert "lacks the scope read:packages" in world.events.emitted[0].text
    assert world.accepted == {"ghcr.io": False}
    world.registry.issue(GOOD, scopes="repo, write:packages")
    world.keep_until_due()
    assert world.accepted == {"ghcr.io": True}


def test_an_unreachable_registry_changes_no_verdict_and_is_asked_again_sooner(world: World) -> None:
    world.registry.revoke(GOOD)
    world.watch.keep()
    world.registry.cut_off()
    assert world.keep_until_due() == 60
    world.clock.advance(60)
    assert world.watch.keep() == 120
    assert world.accepted == {"ghcr.io": False}
    world.registry.recover()
    world.clock.advance(120)
    assert world.watch.keep() == 3600
    assert world.reported == [EventReason.CREDENTIAL_REJECTED]
    world.registry.cut_off()
    assert world.keep_until_due() == 60


def test_a_new_credential_begins_with_short_pauses_again(world: World) -> None:
    world.registry.cut_off()
    for expected in (60, 120, 240):
        assert world.keep_until_due() == expected
    world.central(payload(token=WRONG.password))
    assert world.watch.keep() == 60


def test_a_registry_that_hangs_leaves_time_for_others_and_none_beyond_half_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr("webhook.ports.errors.time.monotonic", clock)
    given: list[float] = []

    def hang(deadline: Deadline) -> None:
        given.append(deadline.remaining())
        clock.advance(deadline.remaining() * 0.8)

    world.registry.on_login = hang
    entries = {f"ghcr.io/team{n}": {"username": "robot", "password": f"p{n}"} for n in range(6)}
    world.central(json.dumps({"auths": entries}).encode())
    world.watch.keep()
    assert given == pytest.approx([10, 10, 10, 6, 1.2, 0.24])
    assert world.counted.total() == 6


def test_a_verdict_is_not_passed_on_to_another_credential(world: World) -> None:
    world.watch.keep()
    world.registry.cut_off()
    world.central(payload(token=WRONG.password))
    world.watch.keep()
    assert world.accepted == {"ghcr.io": None}


def test_expiry_is_reported_at_14_3_and_1_days_once_each(world: World) -> None:
    said = []
    for left in (20, 14, 13, 3, 2, 1, 0.5):
        world.today = END - left * DAY
        world.keep_until_due()
        said.append(len(world.reported))
    assert said == [0, 1, 1, 2, 2, 3, 3]
    assert set(world.reported) == {EventReason.CREDENTIAL_EXPIRING}
    assert "ends at 2026-11-30 10:00 UTC, within 1 day;" in world.events.emitted[-1].text


def test_a_new_token_is_warned_of_again(world: World) -> None:
    world.today = END - 2 * DAY
    world.watch.keep()
    world.registry.issue(WRONG, scopes="read:packages", expiration="2026-11-30 01:00:00 -0900")
    world.central(payload(token=WRONG.password))
    world.watch.keep()
    assert world.reported == [EventReason.CREDENTIAL_EXPIRING] * 2


def test_the_end_stays_known_while_the_api_is_silent(world: World) -> None:
    world.watch.keep()
    world.registry.issue(GOOD)
    world.keep_until_due()
    assert world.watch.figures[0].expires_at == END.timestamp()


def test_a_removed_central_secret_leaves_no_figures(world: World) -> None:
    world.watch.keep()
    world.cluster.remove_secret(RELEASE_NAMESPACE)
    assert world.watch.keep() == 3600
    assert world.watch.figures == ()


def test_of_two_credentials_for_a_registry_the_worst_is_shown(world: World) -> None:
    entries = {
        "ghcr.io": {"username": "robot", "password": CANARY},
        "ghcr.io/team/": {"username": "robot", "password": WRONG.password},
    }
    world.central(json.dumps({"auths": entries}).encode())
    world.watch.keep()
    assert world.accepted == {"ghcr.io": False}
    assert world.watch.figures[0].expires_at == END.timestamp()
    assert world.reported == [EventReason.CREDENTIAL_REJECTED]


def test_an_unreadable_central_secret_is_an_error_of_the_cluster_and_no_verdict(world: World) -> None:
    world.watch.keep()
    world.cluster.stop_watching()
    world.cluster.synced = False
    world.cluster.fail("get", Unavailable("get", "secrets", code=503))
    with pytest.raises(Unavailable):
        world.watch.keep()
    assert world.accepted == {"ghcr.io": True}


def test_figures_and_counts_reach_the_metrics(world: World) -> None:
    metrics = Metrics(version="test", credentials=lambda: world.watch.figures, credential_results=[*CredentialState])
    world.watch._count = metrics.credential_checked
    world.watch.keep()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if "credential" in sample.name and not sample.name.endswith("_created")
    }
    assert found == {
        ("ghcr_pull_secrets_credential_accepted", "ghcr.io"): 1.0,
        ("ghcr_pull_secrets_credential_expiry_timestamp_seconds", "ghcr.io"): END.timestamp(),
        ("ghcr_pull_secrets_credential_checks_total", "accepted"): 1.0,
        ("ghcr_pull_secrets_credential_answered_timestamp_seconds", "ghcr.io"): world.today.timestamp(),
        ("ghcr_pull_secrets_credential_unreadable_images", "ghcr.io"): 0.0,
        ("ghcr_pull_secrets_credential_checks_total", "unreadable"): 0.0,
        ("ghcr_pull_secrets_credential_checks_total", "rejected"): 0.0,
        ("ghcr_pull_secrets_credential_checks_total", "unreachable"): 0.0,
        ("ghcr_pull_secrets_credential_checks_total", "not_checked"): 0.0,
    }


def test_no_log_event_report_or_memory_shows_the_token(world: World) -> None:
    seen = [repr(ask(world.registry, LoginTarget(registry="ghcr.io", credential=GOOD), None, soon()))]
    world.today = END.astimezone(timezone(timedelta(hours=9))) - 2 * DAY
    # Before the redaction of `telemetry.logs`, which would hide what should not have been there.
    with structlog.testing.capture_logs() as lines:
        world.watch.keep()
        world.registry.revoke(GOOD)
        world.keep_until_due()
        world.registry.cut_off()
        world.keep_until_due()
    seen += [repr(each) for each in (world.events.emitted, world.watch._known, world.watch.figures, lines)]
    assert world.reported == [EventReason.CREDENTIAL_EXPIRING, EventReason.CREDENTIAL_REJECTED]
    assert [line["event"] for line in lines] == ["credential_checked"] * 3
    assert [line["log_level"] for line in lines] == ["info", "warning", "warning"]
    for text in seen:
        assert CANARY not in text
        assert CANARY[4:20] not in text
