"""The mutating half's decision table, a test a row and their order."""

import copy
import pathlib
from collections.abc import Callable
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.kinds import kind_named
from tests.core.rules import AUTH, with_rules
from tests.objects import IMAGE, RELEASE_NAMESPACE, RULES, TEMPLATE_PATHS, pod_spec_of, workload
from webhook.core import answers, policy, texts
from webhook.core.before import read_before
from webhook.core.parts import parts
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.scope import Enforcement, Namespace
from webhook.core.vocabulary import Reason
from webhook.core.workloads import read


def decide(document: dict[str, Any], old: dict[str, Any] | None = None, **changes: Any) -> Decision:
    kind = kind_named(document["kind"])
    facts: dict[str, Any] = {"namespace": AUTH, "service_account": ServiceAccount(), "rules": RULES, **changes}
    before = read_before(kind, old) if old else None
    (part,) = parts([read(kind, document)], facts["rules"], update=old is not None, before=before)
    return policy.decide(part, **facts)


@pytest.mark.parametrize("kind", TEMPLATE_PATHS)
def test_a_new_workload_without_the_secret_gets_it(kind: str) -> None:
    assert decide(workload(kind)) == Decision(reason=Reason.INJECTED, add=("ghcr-secret",), provision=True)


def test_a_mirror_pod_is_not_applicable() -> None:
    assert decide(workload(annotations={"kubernetes.io/config.mirror": "x"})).reason is Reason.NOT_APPLICABLE
    assert decide(workload("Deployment", annotations={"kubernetes.io/config.mirror": "x"})).reason is Reason.INJECTED


@pytest.mark.parametrize("image", ["nginx", "docker.io/ghcr.io/x", "ghcr.io.evil.example/x", "notghcr.io/x", "ghcr.io"])
def test_images_from_elsewhere_are_nothing_to_us(image: str) -> None:
    assert decide(workload(images=[image])) == Decision(reason=Reason.NO_SELECTED_IMAGE)


@pytest.mark.parametrize(
    "image", ["GHCR.IO/a/b", "ghcr.io:443/a/b:1", "Ghcr.Io:443/a/b", "ghcr.io/a@sha256:" + "a" * 64]
)
def test_the_host_counts_without_case_and_with_its_port(image: str) -> None:
    assert decide(workload(images=["nginx", image])).reason is Reason.INJECTED


def mounting(**changes: Any) -> dict[str, Any]:
    """A Pod that pulls nothing of ours, and mounts the Secret."""
    made = workload(images=["gcr.io/kaniko-project/executor:v1.23.2"], **changes)
    made["spec"]["volumes"] = [{"name": "docker", "secret": {"secretName": "ghcr-secret"}}]
    return made


def test_a_pod_that_mounts_the_secret_finds_it_and_is_not_patched() -> None:
    assert decide(mounting()) == Decision(reason=Reason.MOUNTED, provision=True)
    assert decide(mounting(owner="Job")).reason is Reason.MOUNTED
    assert decide(mounting(), mounting()).reason is Reason.NO_SELECTED_IMAGE, "it runs already"
    assert decide(mounting(annotations={"kubernetes.io/config.mirror": "x"})).reason is Reason.NOT_APPLICABLE


def test_a_pod_that_mounts_and_pulls_is_injected_as_ever() -> None:
    both = workload()
    both["spec"]["volumes"] = mounting()["spec"]["volumes"]
    assert decide(both).reason is Reason.INJECTED


def test_a_pod_that_mounts_the_secret_gets_none_where_it_or_its_namespace_opted_out() -> None:
    assert decide(mounting(), namespace=Namespace(name="auth", inject="false")).reason is Reason.OPTED_OUT
    assert decide(mounting(annotations={"ghcr-pull-secrets.io/inject": "false"})).reason is Reason.OPTED_OUT
    assert decide(mounting(), namespace=Namespace(name="kube-system")).reason is Reason.OPTED_OUT


def test_a_template_that_mounts_the_secret_is_left_to_its_pods() -> None:
    template = workload("Deployment", images=["nginx"])
    pod_spec_of(template)["volumes"] = mounting()["spec"]["volumes"]
    assert decide(template).reason is Reason.NO_SELECTED_IMAGE


@pytest.mark.parametrize(
    ("labels", "opt_in", "provisions", "may_have_copy"),
    [
        ({}, False, False, True),
        ({"provision": "true"}, False, True, True),
        ({"provision": "false"}, False, False, True),
        ({"provision": "yes"}, False, False, True),
        ({"provision": "true", "inject": "false"}, False, False, False),
        ({}, True, False, False),
        ({"provision": "true"}, True, True, True),
        ({"provision": "true", "inject": "true"}, True, True, True),
        ({"provision": "true", "inject": "false"}, True, False, False),
    ],
)
def test_a_namespace_can_ask_for_a_copy_outright(
    labels: dict[str, str], opt_in: bool, provisions: bool, may_have_copy: bool
) -> None:
    rules = with_rules(opt_in=opt_in)
    namespace = Namespace(name="auth", **labels)  # type: ignore[arg-type]
    assert rules.provisions_in(namespace) is provisions
    assert rules.may_have_copy(namespace) is may_have_copy
    assert not rules.provisions_in(Namespace(name="kube-system", provision="true"))
    assert [each for each in texts.unknown_labels(namespace) if "provision" in each] == (
        ['label ghcr-pull-secrets.io/provision of namespace auth is neither "true" nor "false" and has no effect']
        if labels.get("provision") == "yes"
        else []
    )


def test_an_image_that_is_never_pulled_needs_no_credential() -> None:
    assert decide(workload(pull_policy="Never")).reason is Reason.NO_SELECTED_IMAGE


@pytest.mark.parametrize(
    "namespace",
    [
        Namespace(name="auth", inject="false"),
        Namespace(name="kube-system"),
        Namespace(name="kube-public"),
        Namespace(name="kube-node-lease"),
        Namespace(name=RELEASE_NAMESPACE),
        Namespace(name=RELEASE_NAMESPACE, inject="true"),
    ],
)
def test_a_namespace_can_be_out(namespace: Namespace) -> None:
    assert decide(workload(), namespace=namespace) == Decision(reason=Reason.OPTED_OUT)


def test_a_configured_namespace_is_out() -> None:
    rules = with_rules(excluded=frozenset({"auth"}))
    assert decide(workload(), rules=rules).reason is Reason.OPTED_OUT


@pytest.mark.parametrize(
    ("inject", "reason"), [("true", Reason.INJECTED), ("", Reason.OPTED_OUT), ("yes", Reason.OPTED_OUT)]
)
def test_with_opt_in_only_true_is_in(inject: str, reason: Reason) -> None:
    rules = with_rules(opt_in=True)
    assert decide(workload(), rules=rules, namespace=Namespace(name="auth", inject=inject)).reason is reason


def test_a_workload_can_opt_out() -> None:
    document = workload(annotations={"ghcr-pull-secrets.io/inject": "false"})
    assert decide(document).reason is Reason.OPTED_OUT


@pytest.mark.parametrize("kind", [kind for kind in TEMPLATE_PATHS if kind != "Pod"])
def test_a_template_with_a_controller_is_left_alone(kind: str) -> None:
    assert decide(workload(kind, owner="Deployment")).reason is Reason.CONTROLLER_OWNED


def test_a_pod_with_a_controller_is_injected() -> None:
    assert decide(workload(owner="ReplicaSet")).reason is Reason.INJECTED


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_what_cannot_be_changed_is_not_patched(kind: str) -> None:
    old = workload(kind, images=["ghcr.io/a/old"])
    assert decide(workload(kind), old).reason is Reason.NOT_MUTABLE


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicaSet", "Rollout"])
def test_an_update_with_the_same_template_is_not_patched(kind: str) -> None:
    labelled = workload(kind)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert decide(labelled, workload(kind)).reason is Reason.UNCHANGED
    assert decide(workload(kind), workload(kind, images=["ghcr.io/a/old"])).reason is Reason.INJECTED


def test_a_listed_secret_is_provisioned_and_not_listed_twice() -> None:
    document = workload("Deployment", secrets=["other", "ghcr-secret"])
    assert decide(document) == Decision(reason=Reason.ALREADY_LISTED, provision=True)


@pytest.mark.parametrize("secrets", [None, []])
def test_a_template_whose_service_account_has_secrets_is_left_to_its_pods(secrets: list[str] | None) -> None:
    document = workload("Deployment", secrets=secrets)
    found = decide(document, service_account=ServiceAccount(secrets=("sa-secret",)))
    assert found == Decision(reason=Reason.LEFT_TO_POD, provision=True)


def test_a_template_with_secrets_of_its_own_is_injected_whatever_its_service_account_has() -> None:
    document = workload("Deployment", secrets=["other"])
    assert decide(document, service_account=ServiceAccount(secrets=("sa-secret",))).reason is Reason.INJECTED


@pytest.mark.parametrize("account", [ServiceAccount(exists=False), ServiceAccount(secrets=("late",))])
@pytest.mark.parametrize("kind", sorted(TEMPLATE_PATHS))
def test_whatever_the_service_account_has_or_will_have_reaches_the_pods_of_a_template(
    kind: str, account: ServiceAccount
) -> None:
    found = decide(workload(kind), service_account=account)
    assert found.reason is (Reason.INJECTED if kind == "Pod" else Reason.LEFT_TO_POD)
    assert found.provision


@pytest.mark.parametrize("kind", sorted(TEMPLATE_PATHS))
def test_templates_without_a_list_are_left_to_their_pods_if_that_is_wanted(kind: str) -> None:
    rules = with_rules(leave_templates=True)
    assert decide(workload(kind), rules=rules).reason is (Reason.INJECTED if kind == "Pod" else Reason.LEFT_TO_POD)
    # A list of its own hides the ServiceAccount's from the Pods already.
    further = kind == "Rollout"
    expected = Reason.LEFT_TO_POD if further else Reason.INJECTED
    assert decide(workload(kind, secrets=["other"]), rules=rules).reason is expected


@pytest.mark.parametrize("kind", sorted(TEMPLATE_PATHS))
def test_a_list_in_a_template_of_a_further_kind_is_left_as_it_is_in_git(kind: str) -> None:
    further = kind == "Rollout"
    for secrets in (["other"], []):
        found = decide(workload(kind, secrets=secrets))
        assert found.reason is (Reason.LEFT_TO_POD if further else Reason.INJECTED)
        assert found.provision
    assert decide(workload(kind, secrets=["other", "ghcr-secret"])).reason is Reason.ALREADY_LISTED
    assert decide(workload(kind)).reason is Reason.INJECTED


def test_a_pod_is_injected_whatever_its_service_account_has() -> None:
    # The API server has copied the ServiceAccount's list into the Pod already, or that list is empty.
    assert decide(workload(), service_account=ServiceAccount(secrets=("sa-secret",))).reason is Reason.INJECTED


ROWS: dict[str, tuple[Reason, Callable[[dict[str, Any]], object]]] = {
    "images": (Reason.NO_SELECTED_IMAGE, lambda d: pod_spec_of(d)["containers"][0].update(image="nginx")),
    "out": (Reason.OPTED_OUT, lambda d: d["metadata"]["annotations"].update({"ghcr-pull-secrets.io/inject": "false"})),
    "owned": (Reason.CONTROLLER_OWNED, lambda d: d["metadata"].update(ownerReferences=[{"controller": True}])),
    "job": (Reason.NOT_MUTABLE, lambda _: None),
}


def test_the_first_row_of_all_is_the_mirror_pods() -> None:
    mirror = workload(images=["nginx"], annotations={"kubernetes.io/config.mirror": "1"})
    assert decide(mirror, copy.deepcopy(mirror)).reason is Reason.NOT_APPLICABLE


def test_the_first_row_that_fits_decides() -> None:
    document = workload("Job", secrets=["ghcr-secret"], annotations={"x": "y"})
    for reason, make_it_so in reversed(ROWS.values()):
        make_it_so(document)
        assert decide(document, copy.deepcopy(document)).reason is reason


@pytest.mark.parametrize("kind", TEMPLATE_PATHS)
@pytest.mark.parametrize("state", ["absent", "null", "empty", "others", "unnamed"])
def test_the_patch_of_every_kind_is_the_golden_one(kind: str, state: str) -> None:
    document = workload(kind)
    spec = pod_spec_of(document)
    if state != "absent":
        spec["imagePullSecrets"] = {
            "null": None,
            "empty": [],
            "others": [{"name": "a"}, {"name": "b"}],
            "unnamed": [{}],
        }[state]
    operations = answers.append_pull_secrets(read(kind_named(kind), document), ("ghcr-secret",))
    golden = pathlib.Path(__file__).parents[1] / "data" / "golden-patches" / f"{kind.lower()}-{state}.patch.json"
    assert list(operations) == orjson.loads(golden.read_bytes())


NAMES = st.sampled_from(["a", "b", "ghcr-secret", "other-registry"])
IMAGES = st.sampled_from([IMAGE, "nginx", "GHCR.IO/a/b", "ghcr.io:443/a/b", "quay.io/a/b", "ghcr.io/a/b@sha256:x", ""])


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    document = workload(
        draw(st.sampled_from(sorted(TEMPLATE_PATHS))),
        images=draw(st.lists(IMAGES, max_size=3)),
        secrets=draw(st.none() | st.lists(NAMES, max_size=3)),
        owner=draw(st.sampled_from(["", "ReplicaSet"])),
        annotations=draw(st.sampled_from([{}, {"ghcr-pull-secrets.io/inject": "false"}, {"x": "y"}])),
        pull_policy=draw(st.sampled_from(["", "Never", "Always"])),
    )
    if draw(st.booleans()):
        pod_spec_of(document)["imagePullSecrets"] = draw(st.sampled_from([None, [], [{}], [{"name": "a"}, {}]]))
    return document


@pytest.mark.slow
@given(document=workloads(), inherited=st.lists(NAMES, max_size=2))
def test_a_patch_is_idempotent_and_touches_nothing_but_pull_secrets(
    document: dict[str, Any], inherited: list[str]
) -> None:
    decision = decide(document, service_account=ServiceAccount(secrets=tuple(inherited)))
    operations = list(answers.append_pull_secrets(read(kind_named(document["kind"]), document), decision.add))
    after = jsonpatch.apply_patch(document, operations)
    if decision.reason is Reason.INJECTED:
        assert decide(after, service_account=ServiceAccount(secrets=tuple(inherited))).reason is Reason.ALREADY_LISTED
    else:
        assert operations == []
    before_list = pod_spec_of(document).pop("imagePullSecrets", None) or []
    after_list = pod_spec_of(after).pop("imagePullSecrets", None) or []
    assert after_list[: len(before_list)] == before_list
    assert after == document


@given(old=workloads(), new=workloads(), update=st.booleans())
def test_no_workload_makes_a_decision_raise(old: dict[str, Any], new: dict[str, Any], update: bool) -> None:
    decision = decide(new, old if update and old["kind"] == new["kind"] else None)
    assert bool(decision.add) <= decision.provision


@pytest.mark.parametrize(
    ("namespace", "opt_in", "expected"),
    [
        (Namespace(name="auth"), False, Enforcement.DENY),
        (Namespace(name="auth", enforce="warn"), False, Enforcement.WARN),
        (Namespace(name="auth", enforce="off"), False, Enforcement.OFF),
        (Namespace(name="auth", enforce="Deny!"), False, Enforcement.DENY),
        (Namespace(name="auth", inject="false"), False, Enforcement.DENY),
        (Namespace(name="kube-system", enforce="deny"), False, Enforcement.OFF),
        (Namespace(name="auth"), True, Enforcement.OFF),
        (Namespace(name="auth", inject="true"), True, Enforcement.DENY),
        (Namespace(name="auth", enforce="deny"), True, Enforcement.DENY),
    ],
)
def test_how_strict_a_namespace_is(namespace: Namespace, opt_in: bool, expected: Enforcement) -> None:
    assert with_rules(opt_in=opt_in).enforcement_in(namespace) is expected


def test_a_label_that_means_nothing_is_reported_without_its_value() -> None:
    faults = texts.unknown_labels(Namespace(name="auth", inject="ghp_x", enforce="ghp_y"))
    assert len(faults) == 2
    assert not any("ghp_" in fault for fault in faults)
    assert texts.unknown_labels(Namespace(name="auth", inject="true", enforce="off")) == []


@given(workloads())
def test_the_validating_half_sees_what_the_patch_makes(document: dict[str, Any]) -> None:
    kind = kind_named(document["kind"])
    before = read(kind, document)
    decision = decide(document)
    patched = jsonpatch.apply_patch(document, list(answers.append_pull_secrets(before, decision.add)))
    after, expected = policy.injected(before, decision), read(kind, patched)
    assert (after.pull_secrets, after.listed) == (expected.pull_secrets, expected.listed)
