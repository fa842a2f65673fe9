"""Both halves over fakes of the cluster: what a review is answered, and what it asks and writes."""

import json
import pathlib
from typing import Any

import orjson
import pytest

from tests.core.kinds import KINDS
from tests.objects import CANARY, IMAGE, RELEASE_NAMESPACE, RULES, payload, review, secret, workload
from tests.services.admissions import admission
from tests.services.fakes import FakeCluster
from webhook.admission import SETTLED_S, Admission, Settling
from webhook.core import copies
from webhook.core.answers import Answer
from webhook.core.review import BadReview, parse
from webhook.core.vocabulary import Outcome, Reason
from webhook.core.workloads import MalformedObject
from webhook.ports import Deadline, OutOfTime, Unavailable
from webhook.provisioning import Provisioner

DATA = pathlib.Path(__file__).parents[1] / "data"
REVIEWS = pathlib.Path(__file__).parents[2] / "standin" / "tests" / "data" / "admission-reviews"


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    for name in (RELEASE_NAMESPACE, "auth"):
        cluster.make_namespace(name)
    cluster.make_secret(secret())
    return cluster


def mutate(cluster: FakeCluster, document: dict[str, Any], **settings: Any) -> Answer:
    return admission(cluster, **settings).mutate(parse(orjson.dumps(document)), Deadline.after(5))


def validate(cluster: FakeCluster, document: dict[str, Any], **settings: Any) -> Answer:
    return admission(cluster, **settings).validate(parse(orjson.dumps(document)), Deadline.after(5))


def label(cluster: FakeCluster, **labels: str) -> None:
    cluster.make_namespace("auth", {f"ghcr-pull-secrets.io/{key}": value for key, value in labels.items()})


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def labelling(cluster: FakeCluster, clock: Clock) -> Admission:
    """A server that labels covered Pods."""
    provisioner = Provisioner(cluster.facts, cluster.writer, rules=RULES)
    return Admission(rules=RULES, kinds=KINDS, facts=cluster.facts, provisioner=provisioner, settling=Settling(clock))


def labels_of(subject: Admission, obj: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """The operations of an answer that set labels."""
    answer = subject.mutate(parse(orjson.dumps(review(obj, **changes))), Deadline.after(5))
    return [each for each in answer.response.patch if each["path"].startswith("/metadata")]


def good_copy(cluster: FakeCluster) -> None:
    cluster.make_secret(copies.desired("auth", secret(), RULES.patterns))


# --- mutating


def test_a_workload_is_patched_and_its_copy_is_there_before_the_answer(cluster: FakeCluster) -> None:
    answer = mutate(cluster, review(workload("Deployment")))
    assert answer.outcome is Outcome.PATCHED
    assert answer.response.patch == (
        {"op": "add", "path": "/spec/template/spec/imagePullSecrets", "value": [{"name": "ghcr-secret"}]},
    )
    assert answer.response.audit == {"reason": "injected", "secret": "auth/ghcr-secret created"}
    assert cluster.secret("auth") is not None
    assert answer.response.warnings == ()


def test_dry_run_returns_the_patch_but_writes_nothing(cluster: FakeCluster) -> None:
    answer = mutate(cluster, review(workload(), dry_run=True))
    assert answer.response.patch
    assert answer.provisioning == ""
    assert answer.response.audit["secret"] == "auth/ghcr-secret"
    assert cluster.calls == []
    assert cluster.secret("auth") is None


def test_a_pod_that_mounts_the_secret_finds_a_copy_before_it_starts(cluster: FakeCluster) -> None:
    pod = json.loads((DATA / "field" / "F04-kaniko-pod.json").read_text()) | {"kind": "Pod"}
    pod["metadata"]["namespace"] = "auth"
    dry = mutate(cluster, review(pod, dry_run=True))
    assert (dry.reason, cluster.calls) == (Reason.MOUNTED, [])
    answer = mutate(cluster, review(pod))
    assert (answer.reason, answer.outcome, answer.provisioning) == (Reason.MOUNTED, Outcome.ALLOWED, "created")
    assert answer.response.patch == ()
    assert cluster.secret("auth") is not None
    assert validate(cluster, review(pod)).reason is Reason.NO_SELECTED_IMAGE


def test_a_pod_that_mounts_the_secret_is_told_why_there_is_none(cluster: FakeCluster) -> None:
    cluster.remove_secret(RELEASE_NAMESPACE)
    pod = workload(images=["nginx"])
    pod["spec"]["volumes"] = [{"name": "docker", "secret": {"secretName": "ghcr-secret"}}]
    answer = mutate(cluster, review(pod))
    assert answer.outcome is Outcome.ALLOWED
    assert any("central secret" in warning for warning in answer.response.warnings)


def test_a_listed_secret_is_provisioned_without_a_patch(cluster: FakeCluster) -> None:
    answer = mutate(cluster, review(workload(secrets=["ghcr-secret"])))
    assert (answer.reason, answer.outcome, answer.provisioning) == (Reason.ALREADY_LISTED, Outcome.ALLOWED, "created")


def test_a_template_whose_service_account_has_secrets_is_left_to_its_pods_with_a_copy(cluster: FakeCluster) -> None:
    cluster.make_service_account("auth", "builder", ["sa-secret"])
    answer = mutate(cluster, review(workload("Deployment", service_account="builder")))
    assert (answer.reason, answer.response.patch) == (Reason.LEFT_TO_POD, ())
    assert cluster.secret("auth") is not None


def test_a_service_account_the_cache_does_not_know_is_asked_for(cluster: FakeCluster) -> None:
    cluster.stop_watching()
    cluster.make_service_account("auth", "builder", ["sa-secret"])
    assert mutate(cluster, review(workload("Deployment", service_account="builder"))).reason is Reason.LEFT_TO_POD


def test_what_is_none_of_ours_asks_and_writes_nothing(cluster: FakeCluster) -> None:
    documents = [
        review(workload(images=["nginx"], namespace="unknown")),
        review(workload(), operation="DELETE"),
        review(workload(), operation="CONNECT"),
        review(workload(), subresource="status"),
        review(workload(namespace="kube-system")),
        review(workload(namespace=RELEASE_NAMESPACE)),
        review(None, old=workload(), operation="DELETE"),
        review(workload(), resource={"group": "", "version": "v1", "resource": "services"}),
    ]
    for document in documents:
        for half in (mutate, validate):
            answer = half(cluster, document)
            assert answer.response.allowed
            assert answer.response.patch == ()
    assert cluster.calls == []


def test_a_namespace_that_opted_out_is_left_alone(cluster: FakeCluster) -> None:
    label(cluster, inject="false")
    assert mutate(cluster, review(workload())).reason is Reason.OPTED_OUT
    assert cluster.secret("auth") is None


def test_a_label_that_means_nothing_is_warned_about(cluster: FakeCluster) -> None:
    label(cluster, inject="no")
    answer = mutate(cluster, review(workload()))
    assert answer.reason is Reason.INJECTED
    assert "ghcr-pull-secrets.io/inject" in answer.response.warnings[0]


def test_what_stops_the_copy_is_reported_as_a_warning(cluster: FakeCluster) -> None:
    cluster.remove_secret(RELEASE_NAMESPACE)
    answer = mutate(cluster, review(workload()))
    assert answer.response.patch
    assert answer.response.warnings == ("Secret auth/ghcr-secret was not made: the central secret does not exist",)
    assert answer.provisioning == "central_missing"


def test_a_namespace_that_cannot_be_read_is_an_error_and_no_guess(cluster: FakeCluster) -> None:
    cluster.fail("get", Unavailable("get", "namespaces", code=500))
    with pytest.raises(Unavailable):
        mutate(cluster, review(workload(namespace="unknown")))


def test_a_workload_without_a_namespace_is_a_bad_request(cluster: FakeCluster) -> None:
    with pytest.raises(BadReview, match=r"^request\.namespace: "):
        mutate(cluster, review(workload(), namespace=""))


def test_a_malformed_object_is_refused_with_its_field(cluster: FakeCluster) -> None:
    broken = workload()
    broken["spec"]["containers"] = {}
    with pytest.raises(MalformedObject):
        mutate(cluster, review(broken))


# --- validating


def test_a_workload_with_its_copy_is_admitted_from_the_caches(cluster: FakeCluster) -> None:
    good_copy(cluster)
    answer = validate(cluster, review(workload("Deployment", secrets=["ghcr-secret"])))
    assert (answer.reason, answer.outcome) == (Reason.COVERED, Outcome.ALLOWED)
    assert cluster.calls == []


def test_a_workload_without_credentials_is_rejected_with_a_text(cluster: FakeCluster) -> None:
    answer = validate(cluster, review(workload("Deployment")))
    assert (answer.reason, answer.outcome) == (Reason.NOT_LISTED, Outcome.DENIED)
    assert answer.response.code == 403
    assert answer.response.message.startswith(
        "Deployment auth/auth-api would pull ghcr.io/sesacthon/auth-api:latest (container c0)"
    )


@pytest.mark.parametrize(("enforce", "outcome"), [("warn", Outcome.WARNED), ("off", Outcome.ALLOWED)])
def test_enforcement_can_be_less(cluster: FakeCluster, enforce: str, outcome: Outcome) -> None:
    label(cluster, enforce=enforce)
    answer = validate(cluster, review(workload()))
    assert (answer.response.allowed, answer.outcome, answer.reason) == (True, outcome, Reason.NOT_LISTED)
    assert len(answer.response.warnings) == (1 if enforce == "warn" else 0)


def test_a_copy_the_cache_does_not_know_yet_is_read_before_it_is_missed(cluster: FakeCluster) -> None:
    cluster.stop_watching()
    good_copy(cluster)
    assert validate(cluster, review(workload(secrets=["ghcr-secret"]))).reason is Reason.COVERED


@pytest.mark.parametrize("what", ["secret fixed", "label set", "ServiceAccount given secrets"])
def test_nothing_is_rejected_for_what_a_cache_alone_says(cluster: FakeCluster, what: str) -> None:
    document = review(workload(secrets=["ghcr-secret"]))
    if what == "secret fixed":
        cluster.make_secret(secret("auth", payload=b'{"auths": 1}'))
        cluster.stop_watching()
        cluster.remove_secret("auth")
        good_copy(cluster)
    elif what == "label set":
        cluster.stop_watching()
        label(cluster, enforce="off")
    else:
        good_copy(cluster)
        cluster.make_service_account("auth", "builder", [])
        cluster.stop_watching()
        cluster.make_service_account("auth", "builder", ["ghcr-secret"])
        document = review(workload(service_account="builder"))
    assert validate(cluster, document).response.allowed


def test_what_cannot_be_read_again_is_an_error_and_no_rejection(cluster: FakeCluster) -> None:
    cluster.fail("get", Unavailable("get", "secrets", code=500), times=9)
    with pytest.raises(Unavailable):
        validate(cluster, review(workload(secrets=["ghcr-secret"])))


def test_why_the_copy_is_missing_is_found_out(cluster: FakeCluster) -> None:
    document = review(workload(secrets=["ghcr-secret"]))
    assert validate(cluster, document).reason is Reason.SECRET_MISSING
    cluster.forbid_secrets_by_quota("auth")
    answer = validate(cluster, document)
    assert (answer.reason, "ResourceQuota" in answer.response.message) == (Reason.PROVISIONING_FAILED, True)
    cluster.remove_secret(RELEASE_NAMESPACE)
    assert validate(cluster, document).reason is Reason.CENTRAL_MISSING
    cluster.make_secret(secret(payload=b"{}"))
    assert validate(cluster, document).reason is Reason.CENTRAL_UNUSABLE
    assert cluster.secret("auth") is None


def test_where_nothing_is_injected_the_missing_secret_is_just_missing(cluster: FakeCluster) -> None:
    label(cluster, inject="false")
    answer = validate(cluster, review(workload(secrets=["ghcr-secret"])))
    assert answer.reason is Reason.SECRET_MISSING
    assert "kubectl create secret docker-registry ghcr-secret --namespace auth" in answer.response.message
    assert cluster.called("create") == []


def test_an_odd_spelling_of_the_host_is_explained_whatever_else_is_missing(cluster: FakeCluster) -> None:
    answer = validate(cluster, review(workload(images=["GHCR.IO/a/b"], secrets=["ghcr-secret"])))
    assert "write the registry's host as ghcr.io" in answer.response.message


def test_a_dry_run_counts_the_copy_that_would_be_made(cluster: FakeCluster) -> None:
    document = review(workload(secrets=["ghcr-secret"]), dry_run=True)
    assert validate(cluster, document).reason is Reason.COVERED
    cluster.make_secret(copies.desired("auth", secret(payload=payload(registry="quay.io")), RULES.patterns))
    assert validate(cluster, document).reason is Reason.COVERED
    cluster.remove_secret("auth")
    cluster.remove_secret(RELEASE_NAMESPACE)
    assert validate(cluster, document).reason is Reason.CENTRAL_MISSING
    assert [call for call in cluster.calls if call.verb != "get"] == []


def test_a_dry_run_counts_no_copy_where_none_would_be_made(cluster: FakeCluster) -> None:
    label(cluster, inject="false")
    assert validate(cluster, review(workload(secrets=["ghcr-secret"]), dry_run=True)).reason is Reason.SECRET_MISSING


def test_a_template_left_to_its_pods_counts_as_listing_the_secret(cluster: FakeCluster) -> None:
    cluster.make_service_account("auth", "builder", ["sa-secret"])
    document = review(workload("Deployment", service_account="builder"))
    assert validate(cluster, document, allow_unverifiable=False).reason is Reason.SECRET_MISSING
    good_copy(cluster)
    assert validate(cluster, document, allow_unverifiable=False).reason is Reason.COVERED


def test_a_pod_without_a_list_is_judged_by_its_service_accounts(cluster: FakeCluster) -> None:
    cluster.make_service_account("auth", "builder", ["ghcr-secret"])
    good_copy(cluster)
    assert validate(cluster, review(workload(service_account="builder"))).reason is Reason.COVERED


def test_a_secret_that_may_not_be_read_is_trusted_with_a_warning_or_not(cluster: FakeCluster) -> None:
    document = review(workload(secrets=["other"]))
    answer = validate(cluster, document)
    assert (answer.reason, answer.response.allowed) == (Reason.UNVERIFIABLE, True)
    assert "other" in answer.response.warnings[0]
    assert validate(cluster, document, allow_unverifiable=False).outcome is Outcome.DENIED


def test_with_the_right_to_read_all_secrets_they_are_judged(cluster: FakeCluster) -> None:
    document = review(workload(secrets=["other"]))
    assert validate(cluster, document, read_all=True).reason is Reason.SECRET_MISSING
    cluster.make_secret(secret("auth", name="other"))
    assert validate(cluster, document, read_all=True).reason is Reason.COVERED


def test_no_more_than_32_secrets_are_read_for_one_workload(cluster: FakeCluster) -> None:
    names = [f"s{number}" for number in range(4_000)]
    cluster.make_secret(secret("auth"))
    for name in names[:40]:
        cluster.make_secret(secret("auth", name=name, payload=payload(registry="quay.io")))
    covered = review(workload(secrets=[*names, "ghcr-secret"]))
    assert validate(cluster, covered, read_all=True).reason is Reason.COVERED
    assert len(cluster.called("get")) <= 32 + 1  # and the Namespace
    answer = validate(cluster, review(workload(secrets=names)), read_all=True)
    assert (answer.reason, answer.outcome) == (Reason.UNVERIFIABLE, Outcome.ALLOWED)
    (warning,) = answer.response.warnings
    assert warning.endswith("s32, s33, s34 and 3965 more")


def test_a_secret_too_large_to_be_read_is_admitted_with_a_warning_or_refused(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("auth", payload=payload().ljust(70_000)))
    document = review(workload(secrets=["ghcr-secret"]))
    answer = validate(cluster, document)
    assert (answer.reason, answer.outcome) == (Reason.TOO_LARGE, Outcome.ALLOWED)
    (warning,) = answer.response.warnings
    assert warning == (
        "Pod auth-api was admitted without verification: its pull secrets are larger than 64 KiB or 1000 entries: "
        "ghcr-secret"
    )
    assert mutate(cluster, document).reason is Reason.ALREADY_LISTED
    refused = validate(cluster, document, allow_unverifiable=False)
    assert (refused.reason, refused.outcome) == (Reason.TOO_LARGE, Outcome.DENIED)
    assert "Secret auth/ghcr-secret is larger than 64 KiB or 1000 entries" in refused.response.message


def test_more_images_than_are_judged_are_admitted_with_a_warning_or_refused(cluster: FakeCluster) -> None:
    document = review(workload(images=[f"ghcr.io/a/b{number}" for number in range(257)], secrets=["ghcr-secret"]))
    cluster.make_secret(secret("auth"))
    answer = validate(cluster, document)
    assert (answer.reason, answer.outcome) == (Reason.TOO_LARGE, Outcome.ALLOWED)
    assert "more than 256 different images" in answer.response.warnings[0]
    refused = validate(cluster, document, allow_unverifiable=False)
    assert (refused.reason, refused.outcome) == (Reason.TOO_LARGE, Outcome.DENIED)
    assert "more than 256 different images" in refused.response.message


def test_judging_that_takes_too_long_is_an_error_and_no_decision(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("auth"))
    subject = admission(cluster)
    document = parse(json.dumps(review(workload(secrets=["ghcr-secret"]))).encode())
    assert subject.validate(document, Deadline.after(30)).reason is Reason.COVERED
    with pytest.raises(OutOfTime):
        subject.validate(document, Deadline.after(0))


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_labels_finalizers_and_scaling_of_a_broken_workload_keep_working(cluster: FakeCluster, kind: str) -> None:
    changed = workload(kind)
    changed["metadata"]["finalizers"] = ["a/b"]
    answer = validate(cluster, review(changed, operation="UPDATE", old=workload(kind)))
    assert (answer.reason, answer.response.allowed) == (Reason.UNCHANGED, True)


def test_an_old_object_of_a_laxer_time_does_not_stop_an_update(cluster: FakeCluster) -> None:
    good_copy(cluster)
    old = workload("Rollout")
    old["spec"]["template"]["spec"]["containers"] = "x"
    document = review(workload("Rollout", secrets=["ghcr-secret"]), operation="UPDATE", old=old)
    assert validate(cluster, document).reason is Reason.COVERED


def test_a_new_ephemeral_container_is_judged_and_what_runs_already_is_not(cluster: FakeCluster) -> None:
    def debug(image: str) -> Answer:
        pod = workload()
        pod["spec"]["ephemeralContainers"] = [{"name": "d", "image": image}]
        return validate(cluster, review(pod, operation="UPDATE", old=workload(), subresource="ephemeralcontainers"))

    assert debug("busybox").reason is Reason.NO_SELECTED_IMAGE
    answer = debug("ghcr.io/sesacthon/debug:1")
    assert (answer.reason, answer.outcome) == (Reason.NOT_LISTED, Outcome.DENIED)
    assert "ghcr.io/sesacthon/debug:1 (container d)" in answer.response.message


def test_a_running_pod_is_promised_a_copy_only_if_one_can_be_made(cluster: FakeCluster) -> None:
    old = workload(images=["nginx"], secrets=["ghcr-secret"])
    document = review(workload(secrets=["ghcr-secret"]), operation="UPDATE", old=old)
    label_it = "kubectl label namespace auth ghcr-pull-secrets.io/provision=true (which makes the Secret)"

    def answer(reason: Reason) -> str:
        found = validate(cluster, document)
        assert (found.reason, found.outcome) == (reason, Outcome.DENIED)
        return found.response.message

    assert label_it in answer(Reason.SECRET_MISSING)
    cluster.forbid_secrets_by_quota("auth")
    assert f"remove that cause, and run: {label_it}" in answer(Reason.PROVISIONING_FAILED)
    cluster.make_secret(secret(payload=b"{}"))
    assert label_it not in answer(Reason.CENTRAL_UNUSABLE)
    cluster.remove_secret(RELEASE_NAMESPACE)
    assert label_it not in answer(Reason.CENTRAL_MISSING)
    label(cluster, inject="false")
    assert label_it not in answer(Reason.SECRET_MISSING)
    assert cluster.secret("auth") is None


def test_who_opted_out_is_told_what_of_theirs_says_so(cluster: FakeCluster) -> None:
    opted_out = workload("Deployment", annotations={"ghcr-pull-secrets.io/inject": "false"})
    said = validate(cluster, review(opted_out)).response.message
    assert "opt in (remove the annotation ghcr-pull-secrets.io/inject from the manifest" in said
    assert "kubectl label namespace auth ghcr-pull-secrets.io/inject" not in said
    label(cluster, inject="false")
    said = validate(cluster, review(workload("Deployment"))).response.message
    assert "opt in (run: kubectl label namespace auth ghcr-pull-secrets.io/inject=true --overwrite)" in said
    assert "annotation" not in said


def test_an_ephemeral_container_may_not_pull_what_another_only_names(cluster: FakeCluster) -> None:
    old = workload(pull_policy="Never")
    pod = workload(pull_policy="Never")
    pod["spec"]["ephemeralContainers"] = [{"name": "d", "image": IMAGE, "imagePullPolicy": "Always"}]
    document = review(pod, operation="UPDATE", old=old, subresource="ephemeralcontainers")
    answer = validate(cluster, document)
    assert (answer.reason, answer.outcome) == (Reason.NOT_LISTED, Outcome.DENIED)


def test_a_pull_policy_of_never_that_becomes_always_is_judged(cluster: FakeCluster) -> None:
    changed = review(
        workload("Deployment", pull_policy="Always"),
        operation="UPDATE",
        old=workload("Deployment", pull_policy="Never"),
    )
    assert validate(cluster, changed).outcome is Outcome.DENIED
    assert mutate(cluster, changed).reason is Reason.INJECTED


def test_an_annotation_that_means_nothing_is_warned_about(cluster: FakeCluster) -> None:
    document = review(workload(annotations={"ghcr-pull-secrets.io/inject": "nope"}, secrets=["ghcr-secret"]))
    text = 'annotation ghcr-pull-secrets.io/inject of Pod auth-api is neither "true" nor "false" and has no effect'
    assert mutate(cluster, document).response.warnings == (text,)
    assert validate(cluster, document).response.warnings == (text,)
    other = review(workload(annotations={"ghcr-pull-secrets.io/inject": "nope"}, images=["nginx"]))
    assert mutate(cluster, other).response.warnings == ()


# --- recordings


def recordings() -> list[tuple[str, str]]:
    expected = json.loads((DATA / "admission-reviews-expected.json").read_text())
    return sorted(expected.items())


def test_every_recording_has_its_expected_reason_beside_it() -> None:
    assert [name for name, _ in recordings()] == sorted(path.name for path in REVIEWS.glob("*.json"))


@pytest.mark.parametrize(("name", "reason"), recordings())
def test_every_recorded_review_is_answered_with_the_expected_reason(
    cluster: FakeCluster, name: str, reason: str
) -> None:
    # The namespace as it was recorded: no copy yet, and a ServiceAccount that has a pull secret of its own.
    cluster.make_service_account("auth", "puller", ["sa-secret"])
    body = (REVIEWS / name).read_bytes()
    half = mutate if name.startswith("mutate") else validate
    answer = half(cluster, orjson.loads(body))
    assert answer.reason == reason
    assert CANARY not in repr(answer)


@pytest.mark.parametrize("authenticated", [False, True])
def test_who_does_not_show_who_it_is_learns_no_name_from_a_service_account(
    cluster: FakeCluster, authenticated: bool
) -> None:
    cluster.make_service_account("auth", "builder", ["victims-secret"])
    pod = workload(service_account="builder")
    provisioner = Provisioner(cluster.facts_of_all, cluster.writer, rules=RULES)
    halves = Admission(
        rules=RULES, kinds=KINDS, facts=cluster.facts_of_all, provisioner=provisioner, authenticated=authenticated
    )
    forged = parse(orjson.dumps(review(pod)))
    response = halves.validate(forged, Deadline.after(5)).response
    assert not response.allowed
    assert ("victims-secret" in response.message) == authenticated
    assert "victims-secret" not in repr((response.audit, response.warnings))


# --- Pods that need no second call

LABEL = "ghcr-pull-secrets.io/covered"


def test_a_covered_pod_is_labelled_once_every_api_server_must_know_of_its_copy(cluster: FakeCluster) -> None:
    clock = Clock()
    subject = labelling(cluster, clock)
    # The first makes the copy, the second sees it, and by the third it is old.
    for _ in range(2):
        assert labels_of(subject, workload()) == []
        clock.now += SETTLED_S - 1
    clock.now += 1
    assert labels_of(subject, workload()) == [{"op": "add", "path": "/metadata/labels", "value": {LABEL: "true"}}]
    assert labels_of(subject, workload(secrets=["ghcr-secret"]))

    labelled = workload()
    labelled["metadata"]["labels"] = {"app": "a"}
    assert labels_of(subject, labelled) == [
        {"op": "add", "path": "/metadata/labels/ghcr-pull-secrets.io~1covered", "value": "true"}
    ]
    labelled["metadata"]["labels"][LABEL] = "true"
    assert labels_of(subject, labelled) == []


def test_no_label_is_set_where_the_second_call_decides_something(cluster: FakeCluster) -> None:
    clock = Clock()
    subject = labelling(cluster, clock)
    good_copy(cluster)
    labels_of(subject, workload())
    clock.now = SETTLED_S
    assert labels_of(subject, workload())

    assert labels_of(subject, workload(), dry_run=True) == []
    assert labels_of(subject, workload("Deployment")) == []
    assert labels_of(subject, workload(images=["GHCR.IO/sesacthon/auth-api:1"])) == []
    assert labels_of(subject, workload(secrets=["ghcr-secret", "other"])) == []
    plain = Admission(
        rules=RULES,
        kinds=KINDS,
        facts=cluster.facts,
        provisioner=Provisioner(cluster.facts, cluster.writer, rules=RULES),
    )
    assert labels_of(plain, workload()) == []


def test_a_copy_that_is_changed_has_to_be_old_once_more(cluster: FakeCluster) -> None:
    clock = Clock()
    subject = labelling(cluster, clock)
    narrow = secret(payload=payload(registry="ghcr.io/sesacthon/"))
    good_copy(cluster)
    labels_of(subject, workload())
    clock.now = SETTLED_S
    assert labels_of(subject, workload())

    cluster.make_secret(narrow)
    assert labels_of(subject, workload()) == []
    clock.now += SETTLED_S
    assert labels_of(subject, workload()) == []

    cluster.make_secret(secret(payload=payload(token="ghp_CANARYcanary-next")))
    for _ in range(2):
        assert labels_of(subject, workload()) == []
    clock.now += SETTLED_S
    assert labels_of(subject, workload())


def test_a_refusal_asks_for_the_service_account_once(cluster: FakeCluster) -> None:
    label(cluster, inject="false")
    cluster.make_service_account("auth", "builder", [])
    answer = validate(cluster, review(workload("Deployment", service_account="builder")))
    assert (answer.reason, answer.outcome) == (Reason.NOT_LISTED, Outcome.DENIED)
    assert [call.name for call in cluster.calls if call.resource == "serviceaccounts"] == ["builder"]
