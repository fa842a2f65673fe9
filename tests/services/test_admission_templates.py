"""Both halves on objects with several pod templates: each is decided on, what they share is asked for once."""

import pytest

from tests.objects import IMAGE, RELEASE_NAMESPACE, RULES, secret
from tests.services.fakes import FakeCluster
from tests.services.templates import ask, ray, template
from webhook.core import copies
from webhook.core.judging import MAX_SECRETS
from webhook.core.parts import MAX_IMAGES
from webhook.core.vocabulary import Outcome, Reason
from webhook.core.workloads import MAX_TEMPLATES, MalformedObject


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    for name in (RELEASE_NAMESPACE, "ml"):
        cluster.make_namespace(name)
    cluster.make_secret(secret())
    return cluster


def good_copy(cluster: FakeCluster) -> None:
    cluster.make_secret(copies.desired("ml", secret(), RULES.patterns))


def opt_out(cluster: FakeCluster) -> None:
    """Leave nothing to the Pods: what a template lists is all there is."""
    cluster.make_namespace("ml", {"ghcr-pull-secrets.io/inject": "false"})


OTHER = "ghcr.io/sesacthon/worker:1"


def test_every_template_is_patched_and_one_copy_made(cluster: FakeCluster) -> None:
    answer = ask("mutate", cluster, ray(template(IMAGE), template("nginx"), template(OTHER), head=template(IMAGE)))
    assert [each["path"] for each in answer.response.patch] == [
        "/spec/workerGroupSpecs/0/template/spec/imagePullSecrets",
        "/spec/workerGroupSpecs/2/template/spec/imagePullSecrets",
        "/spec/headGroupSpec/template/spec/imagePullSecrets",
    ]
    assert (answer.reason, answer.outcome, answer.provisioning) == (Reason.INJECTED, Outcome.PATCHED, "created")
    assert len(cluster.called("create")) == 1


def test_a_template_is_left_to_its_pods_beside_one_that_is_given_the_secret(cluster: FakeCluster) -> None:
    cluster.make_service_account("ml", "builder", ["sa-secret"])
    obj = ray(template(IMAGE, serviceAccountName="builder"), template(IMAGE), template(IMAGE, secrets=[]))
    answer = ask("mutate", cluster, obj)
    assert [each["path"] for each in answer.response.patch] == [
        "/spec/workerGroupSpecs/1/template/spec/imagePullSecrets"
    ]
    assert answer.reason is Reason.INJECTED


def test_an_object_without_any_template_is_let_through(cluster: FakeCluster) -> None:
    empty = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "t"}, "spec": {}}
    for half in ("mutate", "validate"):
        for obj in (empty, ray(), ray({}, None, head={})):
            answer = ask(half, cluster, obj)
            assert (answer.reason, answer.response.patch) == (Reason.NO_SELECTED_IMAGE, ())
    assert cluster.calls == []


def test_a_fault_in_any_template_refuses_the_object_and_is_reported_by_its_path(cluster: FakeCluster) -> None:
    good_copy(cluster)
    fine = template(IMAGE, secrets=["ghcr-secret"])
    answer = ask("validate", cluster, ray(fine, template(OTHER, IMAGE), head=template(IMAGE)))
    assert (answer.outcome, answer.reason) == (Outcome.DENIED, Reason.NOT_LISTED)
    assert answer.response.message.startswith(
        f"rayclusters ml/ray (pod template spec.workerGroupSpecs[1].template) would pull {OTHER} (container c) without "
    )
    assert "spec.workerGroupSpecs[1].template.spec.imagePullSecrets of the manifest" in answer.response.message
    assert answer.response.message.endswith(" 2 more images would be pulled without credentials too.")
    assert ask("validate", cluster, ray(fine, fine, head=fine)).reason is Reason.COVERED
    assert ask("validate", cluster, ray(fine, head=template(IMAGE))).response.message.startswith(
        "rayclusters ml/ray (pod template spec.headGroupSpec.template) would pull "
    )


def test_a_malformed_secret_of_several_templates_counts_as_no_image(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("ml", name="bad", payload=b"{"))
    listing = template(IMAGE, secrets=["bad"])
    answer = ask("validate", cluster, ray(listing, listing, head=listing), read_all=True)
    assert (answer.reason, "more image" in answer.response.message) == (Reason.MALFORMED, False)


def test_only_templates_that_an_update_brings_are_judged(cluster: FakeCluster) -> None:
    broken = template(IMAGE)
    old = ray(broken, head=broken)
    for half in ("mutate", "validate"):
        moved = ask(half, cluster, ray(template("nginx"), broken, head=broken), old)
        assert (moved.reason, moved.response.allowed, moved.response.patch) == (Reason.UNCHANGED, True, ())
    new = ray(template(OTHER), broken, head=broken)
    assert [each["path"] for each in ask("mutate", cluster, new, old).response.patch] == [
        "/spec/workerGroupSpecs/0/template/spec/imagePullSecrets"
    ]
    refused = ask("validate", cluster, new, old)
    assert "spec.workerGroupSpecs[0].template" in refused.response.message
    assert "more image" not in refused.response.message


def test_an_object_stored_by_a_laxer_schema_is_judged_as_new(cluster: FakeCluster) -> None:
    old = ray(template(IMAGE))
    old["spec"]["workerGroupSpecs"].append("x")
    assert ask("validate", cluster, ray(template(IMAGE)), old).outcome is Outcome.DENIED


def test_a_value_of_another_kind_on_the_way_is_an_error_with_its_field(cluster: FakeCluster) -> None:
    for half in ("mutate", "validate"):
        obj = ray(head=template(IMAGE)) | {"spec": {"workerGroupSpecs": {}, "headGroupSpec": {}}}
        with pytest.raises(MalformedObject, match=r"^/spec/workerGroupSpecs: expected an array, got object"):
            ask(half, cluster, obj)


def test_what_templates_share_is_read_once(cluster: FakeCluster) -> None:
    cluster.stop_watching()
    workers = [template(IMAGE, secrets=["ghcr-secret"])] * 5 + [template(IMAGE, serviceAccountName="late")] * 5
    assert ask("validate", cluster, ray(*workers)).outcome is Outcome.DENIED
    reads = [(call.verb, call.name) for call in cluster.calls if call.name in ("ghcr-secret", "late")]
    # Once by way of the caches, once more before it leads to a rejection.
    assert reads.count(("get", "late")) <= 2
    assert len([call for call in cluster.calls if (call.namespace, call.name) == ("ml", "ghcr-secret")]) <= 3


def test_so_many_secrets_are_read_of_one_object_however_many_templates_list_them(cluster: FakeCluster) -> None:
    workers = [template(IMAGE, secrets=[f"s-{group}-{n}" for n in range(MAX_SECRETS)]) for group in range(20)]
    workers.append(template(IMAGE, secrets=["ghcr-secret"]))
    good_copy(cluster)
    opt_out(cluster)
    answer = ask("validate", cluster, ray(*workers), read_all=True)
    read = {call.name for call in cluster.calls if call.verb == "get" and call.name.startswith("s-")}
    assert 0 < len(read) <= MAX_SECRETS + 1
    assert answer.outcome is Outcome.DENIED  # the Secrets of the first group do not exist


def test_images_of_all_templates_count_together(cluster: FakeCluster) -> None:
    good_copy(cluster)
    half = MAX_IMAGES // 2 + 1
    workers = [
        template(*(f"ghcr.io/sesacthon/{group}-{number}" for number in range(half)), secrets=["ghcr-secret"])
        for group in range(2)
    ]
    assert ask("validate", cluster, ray(workers[0])).reason is Reason.COVERED
    answer = ask("validate", cluster, ray(*workers))
    assert (answer.reason, answer.response.allowed) == (Reason.TOO_LARGE, True)
    assert answer.response.warnings[0].endswith("it names more than 256 different images")
    denied = ask("validate", cluster, ray(*workers), allow_unverifiable=False)
    assert denied.outcome is Outcome.DENIED
    assert "more image" not in denied.response.message


def test_what_is_taken_on_trust_is_warned_of_once(cluster: FakeCluster) -> None:
    good_copy(cluster)
    opt_out(cluster)
    marked = {"annotations": {"ghcr-pull-secrets.io/inject": "maybe"}}
    obj = ray(
        template(IMAGE, secrets=["a"]),
        template(IMAGE, secrets=["b", "a"]),
        template(IMAGE, secrets=["ghcr-secret"]),
        **marked,
    )
    answer = ask("validate", cluster, obj)
    assert (answer.reason, answer.response.allowed) == (Reason.UNVERIFIABLE, True)
    assert answer.response.warnings == (
        'annotation ghcr-pull-secrets.io/inject of rayclusters ray is neither "true" nor "false" and has no effect',
        "rayclusters ray was admitted without verification: its pull secrets could not be read: a, b",
    )


def test_as_many_templates_as_are_read_are_answered_for(cluster: FakeCluster) -> None:
    workers = [template(f"ghcr.io/sesacthon/w{number}") for number in range(MAX_TEMPLATES - 1)]
    assert len(ask("mutate", cluster, ray(*workers, head=template(IMAGE))).response.patch) == MAX_TEMPLATES
    assert ask("validate", cluster, ray(*workers)).response.message.endswith(" 126 more images would be pulled without credentials too.")  # fmt: skip
