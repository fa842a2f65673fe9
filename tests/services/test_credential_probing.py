"""Credentials tried on images in use: which next, what it means, and where a token never goes."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, secret, workload
from tests.services.contracts.registry import GOOD, WRONG
from tests.services.controller_fakes import FakeEvents, FakePods, ManualClock, pod
from tests.services.credential_fakes import END, FakeRegistry, keyring
from tests.services.fakes import FakeCluster
from webhook.core import images
from webhook.core.images import ImageReference
from webhook.core.keyring import Credential, Keyring
from webhook.core.names import SECRET_NAME
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.core.vocabulary import CredentialState
from webhook.credential import CredentialWatch
from webhook.credential.judging import LoginTarget, judge_pull
from webhook.credential.probing import MAX_UNREADABLE, Probed, Rotation, images_in_use, learn, rotate
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, EventReason, LoginAnswer, RegistryFault, Unavailable

ACCEPTED, UNREADABLE = CredentialState.ACCEPTED, CredentialState.UNREADABLE
REJECTED, UNREACHABLE = CredentialState.REJECTED, CredentialState.UNREACHABLE
NOT_CHECKED = CredentialState.NOT_CHECKED
TARGET = LoginTarget(registry="ghcr.io", credential=Credential(username="u", password="p"))
HOST_WIDE = keyring(**{"ghcr.io": "p"})


def ref(name: str) -> ImageReference:
    return images.parse(f"ghcr.io/org/{name}:1")


def chosen(probed: Probed, *names: str) -> tuple[str, Probed]:
    rotation = Rotation(probed)
    for name in names:
        rotation.offer(ref(name))
    image, after = rotation.choose()
    return image.repository.rpartition("/")[2] if image else "", after


# --- what is in use


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (pod("auth"), ["ghcr.io/sesacthon/auth-api"]),
        (pod("auth", phase="Running"), ["ghcr.io/sesacthon/auth-api"]),
        (pod("auth", phase="Succeeded"), []),
        (pod("auth", phase="Failed"), []),
        (pod("kube-system"), []),
        (pod(RELEASE_NAMESPACE), []),
        (pod("auth", secrets=()), []),
        (pod("auth", images=("docker.io/a/b",)), []),
        (pod("auth", images=("ghcr.io/A/b",)), []),
        ({"metadata": {"namespace": "auth"}, "spec": 7}, []),
        ({"metadata": {"namespace": "auth"}, "spec": {}, "status": None}, []),
    ],
)
def test_an_image_is_in_use_where_a_live_pod_pulls_it_with_our_secret(made: dict[str, Any], found: list[str]) -> None:
    assert [image.repository for image in images_in_use(made, RULES)] == found


# --- which next


@pytest.mark.parametrize(
    ("probed", "in_use", "expected"),
    [
        (Probed(), ["b", "a"], "a"),
        (Probed(last="ghcr.io/org/a"), ["c", "b", "a"], "b"),
        (Probed(last="ghcr.io/org/c"), ["c", "b", "a"], "a"),
        (Probed(last="ghcr.io/org/bb"), ["c", "b", "a"], "c"),
        (Probed(last="ghcr.io/org/a"), ["a"], "a"),
        (Probed(), [], ""),
        (Probed(last="ghcr.io/org/a", unreadable=("ghcr.io/org/c",)), ["a", "b", "c"], "c"),
        (Probed(last="ghcr.io/org/a", unreadable=("ghcr.io/org/c",), retried=True), ["a", "b", "c"], "b"),
        (Probed(last="ghcr.io/org/b", unreadable=("ghcr.io/org/c",), retried=True), ["a", "b", "c"], "a"),
        (Probed(unreadable=("ghcr.io/org/c", "ghcr.io/org/a")), ["a", "b", "c"], "c"),
        (Probed(unreadable=("ghcr.io/org/c",)), ["c"], "c"),
        (Probed(unreadable=("ghcr.io/org/c",), retried=True), ["c"], "c"),
        (Probed(unreadable=("ghcr.io/org/gone",)), ["a"], "a"),
    ],
)
def test_the_next_image_is_the_following_one_or_one_that_was_denied(
    probed: Probed, in_use: list[str], expected: str
) -> None:
    assert chosen(probed, *in_use)[0] == expected


def test_every_image_has_its_turn_also_while_some_are_denied() -> None:
    names = [f"app{n}" for n in range(7)]
    probed, seen = Probed(), Counter[str]()
    for _ in range(28):
        name, probed = chosen(probed, *names)
        denied = name in {"app2", "app5"}
        probed = learn(probed, f"ghcr.io/org/{name}", UNREADABLE if denied else ACCEPTED)
        seen[name] += 1
        assert not probed.nothing_readable
    assert set(seen) == set(names)
    assert set(probed.unreadable) == {"ghcr.io/org/app2", "ghcr.io/org/app5"}


@pytest.mark.parametrize(("count", "probes"), [(1, 1), (2, 3), (3, 5), (50, 5)])
def test_a_token_that_may_read_nothing_is_known_after_a_few_images(count: int, probes: int) -> None:
    names = [f"app{n:02}" for n in range(count)]
    probed, made = Probed(), 0
    while not probed.nothing_readable:
        name, probed = chosen(probed, *names)
        probed = learn(probed, f"ghcr.io/org/{name}", UNREADABLE)
        made += 1
    assert made == probes


def test_what_is_used_no_more_is_forgotten() -> None:
    _, probed = chosen(Probed(unreadable=("ghcr.io/org/gone", "ghcr.io/org/a")), "a", "b")
    assert probed.unreadable == ("ghcr.io/org/a",)


@pytest.mark.parametrize(
    ("in_use", "denials", "nothing"),
    [(0, 0, False), (1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True), (3, 2, False), (3, 3, True)],
)
def test_a_credential_can_pull_nothing_when_enough_was_denied_in_a_row(
    in_use: int, denials: int, nothing: bool
) -> None:
    assert Probed(in_use=in_use, denials=denials).nothing_readable is nothing


def test_only_the_registrys_word_changes_what_is_known_of_an_image() -> None:
    before = Probed(unreadable=("ghcr.io/org/a",), denials=1, last="ghcr.io/org/x")
    for state in (REJECTED, UNREACHABLE, NOT_CHECKED):
        assert learn(before, "ghcr.io/org/b", state) == replace(before, last="ghcr.io/org/b")
    assert learn(before, "ghcr.io/org/a", ACCEPTED).unreadable == ()
    assert learn(before, "ghcr.io/org/b", UNREADABLE).denials == 2


def test_memory_does_not_grow_with_the_images() -> None:
    probed, rotation = Probed(), Rotation(Probed())
    for n in range(1000):
        probed = learn(probed, f"ghcr.io/org/app{n}", UNREADABLE)
        rotation.offer(ref(f"app{n}"))
    assert len(probed.unreadable) == MAX_UNREADABLE
    assert sum(len(held) for held in vars(rotation).values() if isinstance(held, dict | set)) <= 3


@pytest.mark.parametrize(
    ("ring", "target", "image"),
    [
        (HOST_WIDE, TARGET, "quay.io/org/a"),
        (HOST_WIDE, TARGET, "GHCR.IO/org/a"),
        (HOST_WIDE, TARGET, "ghcr.io:5000/org/a"),
        (keyring(**{"ghcr.io/other/": "p"}), TARGET, "ghcr.io/org/a"),
        (keyring(**{"ghcr.io": "p", "ghcr.io/org/": "q"}), TARGET, "ghcr.io/org/a"),
        # Docker Hub's credential, which the kubelet would also show to a host without dot and port.
        (
            keyring(**{"https://index.docker.io/v1/": "p"}),
            LoginTarget(registry="index.docker.io", credential=TARGET.credential),
            "localhost/org/a",
        ),
    ],
)
def test_a_credential_is_not_tried_on_an_image_its_entry_is_not_for(
    ring: Keyring, target: LoginTarget, image: str
) -> None:
    rotation = Rotation(Probed())
    rules = Rules(
        patterns=ImagePatterns(include=("ghcr.io/*", "quay.io/*", "localhost/*", "ghcr.io:5000/*")),
        release_namespace=RELEASE_NAMESPACE,
    )
    rotate({target: rotation}, ring, [pod("auth", images=(image,))], rules)
    assert rotation.choose()[0] is None


def test_a_credential_is_tried_on_an_image_its_entry_is_for() -> None:
    rotation = Rotation(Probed())
    rotate({TARGET: rotation}, HOST_WIDE, [pod("auth", images=("ghcr.io/org/a",))], RULES)
    assert rotation.choose()[0] == images.parse("ghcr.io/org/a")


# --- what an answer means


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (LoginAnswer(code=200), ACCEPTED),
        (LoginAnswer(code=401), UNREADABLE),
        (LoginAnswer(code=403), UNREADABLE),
        (LoginAnswer(code=404), NOT_CHECKED),
        (LoginAnswer(code=429), UNREACHABLE),
        (LoginAnswer(code=503), UNREACHABLE),
        (LoginAnswer(failure=ConnectionFailure(fault=ConnectionFault.TLS)), UNREACHABLE),
        (LoginAnswer(code=307, fault=RegistryFault.REDIRECT), NOT_CHECKED),
    ],
)
def test_a_denied_pull_says_nothing_of_the_credential_but_that_image(
    answer: LoginAnswer, state: CredentialState
) -> None:
    assert judge_pull(answer) is state


# --- the watch


class World:
    """A watch over Pods, a registry and clocks in memory; `auths` is the central secret's."""

    def __init__(self, *names: str, rules: Rules = RULES, **auths: dict[str, str]) -> None:
        self.cluster = FakeCluster()
        self.cluster.make_namespace(RELEASE_NAMESPACE)
        self.pods = FakePods()
        self.registry = FakeRegistry()
        self.registry.issue(GOOD, scopes="read:packages")
        self.events = FakeEvents()
        self.clock = ManualClock()
        self.today = END - timedelta(days=60)
        self.counted: Counter[str] = Counter()
        self.use(f"ghcr.io/org/{name}:1" for name in names)
        self.central(auths or {"ghcr.io": {"username": GOOD.username, "password": GOOD.password}})
        self.watch = CredentialWatch(
            rules=rules,
            facts=self.cluster.facts,
            registry=self.registry,
            events=self.events,
            pods=self.pods,
            interval_s=3600,
            count=lambda state: self.counted.update([state]),
            now=lambda: self.today,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def use(self, written: Iterable[str]) -> None:
        self.pods.pods = [pod("auth", name=f"pod-{n}", images=(image,)) for n, image in enumerate(written)]

    def central(self, auths: dict[str, dict[str, str]]) -> None:
        self.cluster.make_secret(secret(payload=json.dumps({"auths": auths}).encode()))

    def later(self, seconds: float = 3600) -> float:
        self.clock.advance(seconds)
        self.today += timedelta(seconds=seconds)
        return self.watch.keep()

    @property
    def tried(self) -> list[str]:
        return [repository.removeprefix("ghcr.io/org/") for repository, _ in self.registry.pulls]

    @property
    def reported(self) -> list[EventReason]:
        return [event.reason for event in self.events.emitted for _ in range(event.count)]

    @property
    def shown(self) -> tuple[bool | None, int, str]:
        (found,) = self.watch.figures
        return found.accepted, found.unreadable, found.problem


def test_a_token_that_may_read_the_images_in_use_is_accepted() -> None:
    world = World("app")
    with capture_logs() as logs:
        world.watch.keep()
    assert world.shown == (True, 0, "")
    assert world.counted == {"accepted": 1}
    assert world.reported == []
    (line,) = (log for log in logs if log["event"] == "credential_checked")
    assert (line["log_level"], line["probed"], line["probe"]) == ("info", "ghcr.io/org/app", "accepted")


def test_a_token_that_logs_in_and_may_not_pull_is_reported_once_and_counts_as_not_accepted() -> None:
    world = World("app")
    world.registry.hide("ghcr.io/org/app", GOOD)
    world.watch.keep()
    world.later()
    assert world.reported == [EventReason.CREDENTIAL_CANNOT_READ]
    (event,) = world.events.emitted
    assert event.warning
    assert event.about.name == SECRET_NAME
    assert "does not let it read ghcr.io/org/app (HTTP 403)" in event.text
    assert world.shown == (False, 1, "accepted, but cannot read 1 of the images in use")
    assert world.counted == {"unreadable": 2}
    world.registry.show("ghcr.io/org/app", GOOD)
    world.later()
    assert world.shown == (True, 0, "")


def test_one_image_that_cannot_be_read_does_not_condemn_the_token() -> None:
    world = World("a", "b", "c", "d")
    world.registry.hide("ghcr.io/org/b", GOOD)
    world.watch.keep()
    for _ in range(8):
        world.later()
        assert world.shown[0] is True
    assert world.shown[1] == 1
    assert world.reported == [EventReason.CREDENTIAL_CANNOT_READ]
    assert set(world.tried) == {"a", "b", "c", "d"}


def test_an_image_that_may_not_exist_says_nothing() -> None:
    world = World("app")
    world.registry.manifests["ghcr.io/org/app"] = LoginAnswer(code=404)
    world.watch.keep()
    assert world.shown == (True, 0, "")
    assert world.reported == []


def test_a_rejected_token_is_tried_on_nothing() -> None:
    world = World("app")
    world.registry.revoke(GOOD)
    world.watch.keep()
    assert world.tried == []
    assert world.shown == (False, 0, "rejected (HTTP 403)")


def test_each_entry_is_tried_once_an_interval_whatever_happens() -> None:
    world = World("app")
    world.watch.keep()
    for _ in range(5):
        world.registry.cut_off()
        world.later(1)
        world.registry.recover()
        world.central({"ghcr.io": {"username": GOOD.username, "password": GOOD.password}, "quay.io": {}})
        world.watch.keep()
        world.central({"ghcr.io": {"username": GOOD.username, "password": GOOD.password}})
        world.watch.keep()
    assert world.tried == ["app"]
    world.later(3600)
    assert world.tried == ["app", "app"]


def test_a_check_that_comes_sooner_for_want_of_an_answer_makes_no_further_probe() -> None:
    entries = {"ghcr.io": GOOD, "r.example.com": WRONG}
    patterns = ImagePatterns(include=("ghcr.io/*", "r.example.com/*"))
    world = World("app", rules=Rules(patterns=patterns, release_namespace=RELEASE_NAMESPACE))
    world.central({host: {"username": each.username, "password": each.password} for host, each in entries.items()})
    world.registry.answers["r.example.com"] = LoginAnswer(failure=ConnectionFailure(fault=ConnectionFault.DNS))
    assert world.watch.keep() == 60
    world.later(60)
    assert len(world.registry.logins) == 4
    assert world.tried == ["app"]


def test_two_organisations_with_two_tokens_are_each_tried_on_their_own_images() -> None:
    one, two = Credential(username="one", password=CANARY), Credential(username="two", password="p2")
    world = World()
    world.registry.issue(one)
    world.registry.issue(two)
    world.use(["ghcr.io/org-a/x:1", "ghcr.io/org-b/y:1", "quay.io/org-a/z:1", "ghcr.io/org-ab/w:1"])
    world.central(
        {
            "ghcr.io/org-a/": {"username": "one", "password": CANARY},
            "ghcr.io/org-b/": {"username": "two", "password": "p2"},
        }
    )
    for _ in range(4):
        world.later()
    assert set(world.registry.pulls) == {("ghcr.io/org-a/x", one), ("ghcr.io/org-b/y", two)}


def test_without_a_list_of_pods_the_rest_of_the_check_is_made() -> None:
    world = World("app")
    world.pods.error = Unavailable("list", "pods")
    with capture_logs() as logs:
        world.watch.keep()
    assert world.tried == []
    assert world.shown == (True, 0, "")
    assert [log["event"] for log in logs] == ["images_in_use_unknown", "credential_checked"]
    world.pods.error = None
    world.later()
    assert world.tried == ["app"]


def test_pods_are_listed_only_when_something_is_to_be_tried() -> None:
    world = World("app")
    world.watch.keep()
    world.registry.cut_off()
    world.later()
    listed = len(world.pods.lists)
    world.later(60)
    assert len(world.pods.lists) == listed + 1  # nothing was tried at the last check
    world.registry.recover()
    world.later(120)
    world.central({"ghcr.io": {"username": GOOD.username, "password": GOOD.password}, "ghcr.io/x": {}})
    world.watch.keep()
    assert len(world.pods.lists) == listed + 2


def test_the_time_of_the_last_answer_stands_still_while_there_is_none() -> None:
    world = World()
    begun = world.today.timestamp()
    world.registry.cut_off()
    world.watch.keep()
    for _ in range(3):
        world.later()
        assert world.watch.figures[0].answered_at == begun
    world.central({"ghcr.io": {"username": "other", "password": "other"}})
    world.watch.keep()
    assert world.watch.figures[0].answered_at == begun
    assert world.shown[2] == "unreachable (connection)"
    world.registry.recover()
    world.later()
    assert world.watch.figures[0].answered_at == world.today.timestamp()
    assert world.shown[2] == "rejected (HTTP 403)"


def test_no_credential_is_in_what_is_remembered_reported_and_logged() -> None:
    world = World("app")
    world.registry.hide("ghcr.io/org/app", GOOD)
    with capture_logs() as logs:
        world.watch.keep()
    assert CANARY not in repr((logs, world.watch._known, world.watch.figures, world.events.emitted))


def test_the_deadline_of_a_credential_holds_for_its_probe_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    monkeypatch.setattr("webhook.ports.errors.time.monotonic", clock)
    world = World("app")

    def use_up(deadline: Deadline) -> None:
        clock.advance(deadline.remaining())

    world.registry.on_login = use_up
    world.watch.keep()
    assert world.tried == []
    assert world.shown == (True, 0, "")


def test_a_workload_with_several_images_offers_each() -> None:
    made = workload("Pod", namespace="auth", secrets=(SECRET_NAME,))
    made["spec"]["initContainers"] = [{"name": "i", "image": "ghcr.io/sesacthon/init:1"}]
    assert {image.repository for image in images_in_use(made, RULES)} == {
        "ghcr.io/sesacthon/auth-api",
        "ghcr.io/sesacthon/init",
    }
