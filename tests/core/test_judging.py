"""The validating half's rules, on plain facts."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.kinds import kind_named
from tests.core.rules import AUTH, with_rules
from tests.objects import IMAGE, RELEASE_NAMESPACE, RULES, payload, secret, workload
from webhook.core import images, judging, policy
from webhook.core.before import read_before
from webhook.core.judging import PullFacts, SecretFact, UnreadableSecret, Verdict
from webhook.core.kinds import POD
from webhook.core.parts import Part, parts, repositories, selected_images, selects_any
from webhook.core.patterns import ImagePatterns
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload, read

FIELD = Path(__file__).parents[1] / "data" / "field"
PULLED = PodImage(place="containers", name="api", image=IMAGE)
ALL = with_rules(patterns=ImagePatterns(include=("*.*/*",)))


def judge(secrets: dict[str, SecretFact], *pulled: str, rules: Any = RULES, **facts: Any) -> Verdict:
    return judging.verdict(part(*pulled or (IMAGE,)), PullFacts(listed=tuple(secrets), secrets=secrets, **facts), rules)


def part(*pulled: str) -> Part:
    named = [PodImage(place="containers", name="api", image=image) for image in pulled]
    (made,) = parts([Workload(kind=POD, name="api", spec_path=("spec",), images=tuple(named))], ALL)
    return made


def test_a_good_secret_covers() -> None:
    assert judge({"ghcr-secret": secret("auth")}) == Verdict(reason=Reason.COVERED)
    assert judge({"other": secret("auth", name="other")}) == Verdict(reason=Reason.COVERED)
    dockercfg = secret("auth", type="kubernetes.io/dockercfg", payload=b'{"ghcr.io": {"auth": "dTpw"}}')
    assert judge({"old": dockercfg}) == Verdict(reason=Reason.COVERED)


@pytest.mark.parametrize(
    ("secrets", "image", "reason", "named"),
    [
        ({}, IMAGE, Reason.NOT_LISTED, ""),
        ({"ghcr-secret": None}, IMAGE, Reason.SECRET_MISSING, "ghcr-secret"),
        ({"other": None}, IMAGE, Reason.SECRET_MISSING, "other"),
        ({"other": None, "ghcr-secret": None}, IMAGE, Reason.SECRET_MISSING, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", type="Opaque", payload=None)}, IMAGE, Reason.WRONG_TYPE, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=b"{}")}, IMAGE, Reason.NO_ENTRY_FOR_IMAGE, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=payload(registry="quay.io"))}, IMAGE, Reason.NO_ENTRY_FOR_IMAGE, "ghcr-secret"),
        ({"ghcr-secret": secret("auth")}, "GHCR.IO/a/b", Reason.NO_ENTRY_FOR_IMAGE, "ghcr-secret"),
        ({"ghcr-secret": secret("auth")}, "ghcr.io:443/a/b", Reason.NO_ENTRY_FOR_IMAGE, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=b'{"auths": {"ghcr.io": {}}}')}, IMAGE, Reason.EMPTY_CREDENTIAL, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=payload(token=""))}, IMAGE, Reason.EMPTY_CREDENTIAL, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=b'{"auths": {"ghcr.io": {"auth": "OlRPS0VO"}}}')}, IMAGE, Reason.EMPTY_CREDENTIAL, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=(FIELD / "F05-empty-token.json").read_bytes())}, IMAGE, Reason.EMPTY_CREDENTIAL, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=(FIELD / "F08-identity-token.json").read_bytes())}, IMAGE, Reason.EMPTY_CREDENTIAL, "ghcr-secret"),
        ({"ghcr-secret": secret("auth", payload=b'{"auths": {"ghcr.io": {"auth": "!"}}}')}, IMAGE, Reason.MALFORMED, "ghcr-secret"),
    ],
)  # fmt: skip
def test_each_way_to_have_no_credential_has_its_reason(
    secrets: dict[str, SecretFact], image: str, reason: Reason, named: str
) -> None:
    found = judge(secrets, image)
    assert found.reason is reason
    assert found.problems[0].secret == named


def test_a_malformed_secret_rejects_though_another_covers() -> None:
    found = judge({"good": secret("auth"), "bad": secret("auth", payload=b"[")})
    assert found.reason is Reason.MALFORMED
    assert found.problems[0].image is None


def test_why_the_copy_is_missing_is_said_when_it_is_known() -> None:
    found = judge({"ghcr-secret": None}, missing_because=Reason.PROVISIONING_FAILED, detail="quota")
    assert (found.reason, found.problems[0].detail) == (Reason.PROVISIONING_FAILED, "quota")


def test_one_covered_image_does_not_cover_another() -> None:
    narrow = secret("auth", payload=payload(registry="ghcr.io/sesacthon"))
    found = judge({"ghcr-secret": narrow}, IMAGE, "ghcr.io/other/app:1", "ghcr.io/third/app:1")
    assert [problem.image.image for problem in found.problems if problem.image] == [
        "ghcr.io/other/app:1",
        "ghcr.io/third/app:1",
    ]


def test_two_secrets_cover_what_one_does_not() -> None:
    one = secret("auth", payload=payload(registry="ghcr.io/sesacthon"))
    two = secret("auth", payload=payload(registry="ghcr.io/other"))
    assert judge({"a": one, "b": two}, IMAGE, "ghcr.io/other/app:1").reason is Reason.COVERED


def test_an_empty_credential_is_no_credential_but_one_beside_it_is() -> None:
    empty = secret("auth", payload=b'{"auths": {"ghcr.io/sesacthon": {}}}')
    assert judge({"a": empty, "ghcr-secret": secret("auth")}).reason is Reason.COVERED


def test_an_image_no_kubelet_would_pull_needs_no_credential() -> None:
    assert judge({}, "ghcr.io/Upper/case").reason is Reason.COVERED


def test_a_secret_that_may_not_be_read_counts_or_not_as_configured() -> None:
    facts: dict[str, SecretFact] = {"other": UnreadableSecret(), "third": UnreadableSecret()}
    assert judge(facts) == Verdict(reason=Reason.UNVERIFIABLE, unverifiable=("other", "third"))
    strict = judge(facts, rules=with_rules(allow_unverifiable=False))
    assert strict.reason is Reason.UNVERIFIABLE
    assert strict.problems


def test_a_secret_that_may_not_be_read_counts_only_for_what_ours_does_not_cover() -> None:
    assert judge({"other": UnreadableSecret(), "ghcr-secret": secret("auth")}).reason is Reason.COVERED
    assert judge({"other": UnreadableSecret(), "ghcr-secret": None}).reason is Reason.UNVERIFIABLE
    strict = judge({"other": UnreadableSecret(), "ghcr-secret": None}, rules=with_rules(allow_unverifiable=False))
    assert strict.reason is Reason.SECRET_MISSING


def test_a_malformed_secret_beside_one_that_may_not_be_read_still_rejects() -> None:
    assert (
        judge({"other": UnreadableSecret(), "ghcr-secret": secret("auth", payload=b"")}).reason is Reason.UNVERIFIABLE
    )
    assert judge({"other": UnreadableSecret(), "ghcr-secret": secret("auth", payload=b"x")}).reason is Reason.MALFORMED


# --- which secrets are in effect


def in_effect(document: dict[str, Any], inherited: tuple[str, ...] = ()) -> tuple[str, ...]:
    (found,) = parts([read(kind_named(document["kind"]), document)], RULES)
    account = policy.ServiceAccount(secrets=inherited)
    decision = policy.decide(found, namespace=AUTH, service_account=account, rules=RULES)
    return policy.secrets_in_effect(found.workload, account, decision)


def test_the_pod_specs_own_list_hides_the_service_accounts() -> None:
    assert in_effect(workload(secrets=["a", "b", "a"]), ("sa",)) == ("a", "b")
    assert in_effect(workload(secrets=[]), ("sa",)) == ("sa",)
    assert in_effect(workload(), ("sa",)) == ("sa",)


def test_a_list_of_nameless_entries_still_hides_the_service_accounts() -> None:
    document = workload()
    document["spec"]["imagePullSecrets"] = [{}]
    assert in_effect(document, ("sa",)) == ()


def test_a_template_left_to_its_pods_counts_as_listing_the_secret() -> None:
    assert in_effect(workload("Deployment"), ("sa",)) == ("sa", "ghcr-secret")
    assert in_effect(workload("Deployment", secrets=["a"]), ("sa",)) == ("a",)


# --- what is not judged at all


def exempt(new: dict[str, Any], old: dict[str, Any] | None = None, *, namespace: str = "auth") -> Reason | None:
    kind = kind_named(new["kind"])
    before = read_before(kind, old) if old else None
    (found,) = parts([read(kind, new)], RULES, update=old is not None, before=before)
    return policy.exempt(found, namespace=namespace, rules=RULES)


def test_what_needs_no_credential_is_not_judged() -> None:
    assert exempt(workload()) is None
    assert exempt(workload(images=["nginx"])) is Reason.NO_SELECTED_IMAGE
    assert exempt(workload("ReplicaSet", owner="Deployment")) is Reason.CONTROLLER_OWNED
    assert exempt(workload(owner="ReplicaSet")) is None
    assert exempt(workload(annotations={"kubernetes.io/config.mirror": "x"})) is Reason.NOT_APPLICABLE
    assert exempt(workload("Deployment", annotations={"kubernetes.io/config.mirror": "x"})) is None


@pytest.mark.parametrize("namespace", ["kube-system", RELEASE_NAMESPACE])
def test_a_namespace_that_is_never_touched_is_not_judged(namespace: str) -> None:
    assert exempt(workload(), namespace=namespace) is Reason.OPTED_OUT


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob"])
def test_an_update_that_changes_no_pull_is_let_through(kind: str) -> None:
    labelled = workload(kind)
    labelled["metadata"]["labels"] = {"a": "b"}
    labelled["metadata"]["finalizers"] = ["x/y"]
    assert exempt(labelled, workload(kind)) is Reason.UNCHANGED


@pytest.mark.parametrize(
    "old",
    [
        workload(images=["ghcr.io/a/old"]),
        workload(secrets=["a"]),
        workload(service_account="builder"),
        workload(pull_policy="Never"),
    ],
    ids=["images", "pull secrets", "ServiceAccount", "whether it is pulled"],
)
def test_an_update_that_changes_a_pull_is_judged(old: dict[str, Any]) -> None:
    assert exempt(workload(), old) is None


def test_a_pull_policy_that_pulls_as_before_changes_no_pull() -> None:
    assert exempt(workload(pull_policy="Always"), workload(pull_policy="IfNotPresent")) is Reason.UNCHANGED


def test_one_container_that_never_pulls_does_not_hide_another_that_does() -> None:
    def pod(*policies: str) -> dict[str, Any]:
        made = workload(images=[IMAGE] * len(policies))
        for container, policy_ in zip(made["spec"]["containers"], policies, strict=True):
            container["imagePullPolicy"] = policy_
        return made

    assert exempt(pod("Never", "Always"), pod("Never", "Never")) is None


# --- bounds: whatever a tenant writes is judged in a bounded time


def entries(number: int, padding: str = "") -> bytes:
    return json.dumps(
        {"auths": {f"r{index}.example.com/{padding}": {"auth": "dTpw"} for index in range(number)}}
    ).encode()


def padded(size: int) -> bytes:
    content = payload()
    return content + b" " * (size - len(content))


STRICT = with_rules(allow_unverifiable=False)


@pytest.mark.parametrize(("fits", "over"), [(padded(65_536), padded(65_537)), (entries(1_000), entries(1_001))])
def test_a_secret_over_a_bound_is_not_read_and_counts_as_unverifiable(fits: bytes, over: bytes) -> None:
    other = secret("auth", name="other", payload=over)
    assert judge({"other": secret("auth", name="other", payload=fits)}).reason is not Reason.TOO_LARGE
    assert judge({"other": other}) == Verdict(reason=Reason.TOO_LARGE, unverifiable=("other",))
    assert judge({"other": other, "x": UnreadableSecret()}).reason is Reason.UNVERIFIABLE
    assert judge({"other": other, "ghcr-secret": secret("auth")}).reason is Reason.COVERED
    (problem,) = judge({"other": other}, rules=STRICT).problems
    assert (problem.reason, problem.secret) == (Reason.TOO_LARGE, "other")
    (problem,) = judge({"ghcr-secret": secret("auth", payload=over), "x": UnreadableSecret()}, rules=STRICT).problems
    assert (problem.reason, problem.secret) == (Reason.TOO_LARGE, "ghcr-secret")
    (problem,) = judge({"other": other, "ghcr-secret": None}, rules=STRICT).problems
    assert (problem.reason, problem.secret) == (Reason.SECRET_MISSING, "ghcr-secret")


def test_a_secret_over_a_bound_may_be_malformed_and_nobody_looks() -> None:
    assert judge({"other": secret("auth", payload=b"[" * 65_537)}).reason is Reason.TOO_LARGE


def test_more_images_than_are_judged_count_as_unverifiable() -> None:
    many = [f"ghcr.io/a/b{number}" for number in range(257)]
    assert judge({"ghcr-secret": secret("auth")}, *many) == Verdict(reason=Reason.TOO_LARGE)
    (problem,) = judge({"ghcr-secret": secret("auth")}, *many, rules=STRICT).problems
    assert (problem.reason, problem.image) == (Reason.TOO_LARGE, None)
    assert judge({"ghcr-secret": secret("auth")}, *many[1:], *many[1:]).reason is Reason.COVERED


def test_images_are_looked_at_up_to_the_first_that_is_one_too_many_to_be_judged() -> None:
    asked: list[str] = []

    class Patterns:
        def selects(self, image: str) -> bool:
            asked.append(image)
            return not image.startswith("docker.io/")

    rules: Any = SimpleNamespace(patterns=Patterns())
    pulled = [PodImage(place="containers", name="a", image=f"docker.io/{n}") for n in range(9)]
    pulled += [PodImage(place="containers", name="a", image=f"ghcr.io/a/b{n // 2}") for n in range(10_000)]
    never = PodImage(place="containers", name="a", image="ghcr.io/never", pull_policy="Never")
    workload = Workload(kind=POD, name="a", spec_path=("spec",), images=(never, *pulled))
    selected = selected_images(workload, rules)
    assert len({image.image for image in selected}) == 257
    assert len(selected) == 2 * 256 + 1
    assert len(asked) == len(set(asked)) == 9 + 257
    asked.clear()
    assert selects_any(workload, rules)
    assert asked[-1] == "ghcr.io/a/b0"


def test_repositories_are_listed_once_and_up_to_the_bound() -> None:
    pulled = [PodImage(place="containers", name="a", image=f"ghcr.io/a/b{n % 300}:{n}") for n in range(600)]
    listed = repositories(pulled)
    assert len(listed) == len(set(listed)) == 256


def test_a_host_too_long_for_an_address_is_compared_with_nothing() -> None:
    long = "a" * 260 + ".pkg.dev/x/y"
    assert repositories([PodImage(place="containers", name="a", image=long)]) == ()
    assert (
        judge({"ghcr-secret": secret("auth", payload=payload(registry="*.pkg.dev"))}, long).reason
        is Reason.NO_ENTRY_FOR_IMAGE
    )


def test_ours_is_always_among_the_secrets_that_are_read() -> None:
    listed = (*(f"s{number}" for number in range(100)), "ghcr-secret")
    assert judging.secrets_to_read(listed) == {"ghcr-secret", *listed[:31]}
    assert judging.secrets_to_read(listed[:3]) == set(listed[:3])


def test_secrets_that_are_too_large_together_are_not_all_read_but_ours_is() -> None:
    held: dict[str, SecretFact] = {f"s{n}": secret("auth", name=f"s{n}", payload=entries(900)) for n in range(5)}
    assert judge(held) == Verdict(reason=Reason.TOO_LARGE, unverifiable=("s3", "s4"))
    assert judge({**held, "ghcr-secret": secret("auth")}).reason is Reason.COVERED


def test_judging_ends_when_the_time_is_over() -> None:
    class Over(Exception):
        pass

    def judged(times: int) -> Verdict:
        left = iter(range(times))

        def check() -> None:
            if next(left, None) is None:
                raise Over

        pulled = part(*(f"ghcr.io/a/b{number}" for number in range(10)))
        secrets = {name: secret("auth", name=name, payload=payload(registry="quay.io")) for name in ("a", "b")}
        return judging.verdict(pulled, PullFacts(listed=("a", "b"), secrets=secrets), RULES, check)

    assert judged(22).reason is Reason.NO_ENTRY_FOR_IMAGE  # two Secrets, ten repositories in each
    for times in (0, 1, 2, 21):
        with pytest.raises(Over):
            judged(times)


# --- what a problem carries for the text


@pytest.mark.parametrize(
    ("held", "image"),
    [
        (secret("auth", type="Opaque", payload=None), IMAGE),
        (secret("auth", payload=b"{"), IMAGE),
        (secret("auth", payload=b"{}"), IMAGE),
        (secret("auth", payload=b'{"auths": {"ghcr.io": {}}}'), IMAGE),
    ],
)
def test_a_problem_with_a_secret_that_is_there_carries_it(held: Any, image: str) -> None:
    assert judge({"ghcr-secret": held}, image).problems[0].found is held


def test_a_login_left_to_a_credential_helper_is_said() -> None:
    helped = secret("auth", payload=b'{"credsStore": "desktop", "auths": {"ghcr.io": {}}}')
    assert judge({"ghcr-secret": helped}).problems[0].uses_helper
    only = secret("auth", payload=b'{"credHelpers": {"ghcr.io": "pass"}}')
    assert judge({"ghcr-secret": only}).problems[0].uses_helper
    assert not judge({"ghcr-secret": secret("auth", payload=b"{}")}).problems[0].uses_helper


def test_an_image_is_read_once_however_many_secrets_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    # The longest valid references are not remembered, and a Pod may name one thousands of times.
    pulls, listed = part(IMAGE, IMAGE), {f"s{n}": secret("auth", name=f"s{n}", payload=b"{}") for n in range(32)}
    calls: list[str] = []
    parse = images.parse

    def counted(reference: str) -> images.ImageReference:
        calls.append(reference)
        return parse(reference)

    monkeypatch.setattr(images, "parse", counted)
    found = judging.verdict(pulls, PullFacts(listed=tuple(listed), secrets=listed), RULES)

    assert found.reason is Reason.NO_ENTRY_FOR_IMAGE
    assert len(calls) == 2
