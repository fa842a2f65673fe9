"""The webhook configurations: who is asked about what, and how."""

import itertools
from typing import Any

import helm_python
import pytest

from tests import helm
from tests.chart import injectors
from tests.chart.switches import SWITCHES, everything
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Enforcement, Namespace, Rules

BASE = {"centralSecret": {"existing": True}}
INJECT, ENFORCE = "ghcr-pull-secrets.io/inject", "ghcr-pull-secrets.io/enforce"


NAME, LAST = "ghcr-pull-secrets", "zz-ghcr-pull-secrets"


def webhooks(half: str, values: dict[str, Any] | None = None, name: str = NAME) -> list[dict[str, Any]]:
    manifests = helm.render({**BASE, **(values or {})})
    found: list[dict[str, Any]] = helm.select(manifests, f"{half}WebhookConfiguration", name)["webhooks"]
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Apply a label selector as the API server does: `NotIn` holds for a label that is not there."""
    outcome = {
        "In": lambda term: labels.get(term["key"]) in term["values"],
        "NotIn": lambda term: labels.get(term["key"]) not in term["values"],
    }
    return all(outcome[term["operator"]](term) for term in selector["matchExpressions"])


NAMES = ("auth", "default", "excluded", "kube-system", "kube-public", "kube-node-lease", "ghcr-pull-secrets")
VALUES = (None, "", "true", "false", "deny", "warn", "off", "other")


@pytest.mark.parametrize("mode", ["opt-out", "opt-in"])
@pytest.mark.parametrize("enforcement", Enforcement)
def test_a_namespace_is_selected_if_and_only_if_the_core_has_something_to_do_in_it(
    mode: str, enforcement: Enforcement
) -> None:
    values = {"namespaces": {"mode": mode, "excluded": ["excluded"]}, "enforcement": str(enforcement)}
    mutating, validating = webhooks("Mutating", values), webhooks("Validating", values)
    last = webhooks("Mutating", values, LAST)
    rules = Rules(
        patterns=ImagePatterns(include=("ghcr.io/*",)),
        release_namespace="ghcr-pull-secrets",
        excluded=frozenset({"excluded"}),
        opt_in=mode == "opt-in",
        enforcement=enforcement,
    )
    for name, inject, enforce in itertools.product(NAMES, VALUES, VALUES):
        labels = {"kubernetes.io/metadata.name": name}
        labels |= {key: value for key, value in ((INJECT, inject), (ENFORCE, enforce)) if value is not None}
        namespace = Namespace(name=name, inject=inject or "", enforce=enforce or "")
        for resource in ("pods", "deployments", "cronjobs", "rollouts"):
            asked = [
                sum(
                    selects(webhook["namespaceSelector"], labels)
                    for webhook in half
                    if any(
                        resource in rule["resources"] and operation in rule["operations"] for rule in webhook["rules"]
                    )
                )
                for half, operation in (
                    (mutating, "CREATE"),
                    (validating, "CREATE"),
                    (validating, "UPDATE"),
                    (last, "CREATE"),
                )
            ]
            # One webhook each, and never two for the same request.
            assert asked == [
                rules.injects_into(namespace),
                rules.enforcement_in(namespace) is not Enforcement.OFF,
                rules.enforcement_in(namespace) is not Enforcement.OFF,
                rules.injects_into(namespace),
            ], labels


# --- the configuration that is called last


# As the projects' own charts and manifests name them; docs/injectors.md lists them for people.
INJECTORS = tuple(injectors.configurations())


def test_known_injectors_are_listed() -> None:
    assert len(INJECTORS) > 20, "the table was read"
    assert {"opentelemetry-operator-mutation", "istio-sidecar-injector", "vault-secrets-webhook"} <= set(INJECTORS)


@pytest.mark.parametrize("injector", INJECTORS)
def test_the_last_configuration_sorts_after_those_of_every_known_injector(injector: str) -> None:
    # The API server sorts by bytes, as Python does by code points.
    assert injector < LAST


def test_the_last_configuration_is_the_first_once_more_for_what_lists_no_secret_yet_and_fails_open() -> None:
    for mode in ("opt-out", "opt-in"):
        first, last = (webhooks("Mutating", {"namespaces": {"mode": mode}}, name) for name in (NAME, LAST))
        for one, other in zip(first, last, strict=True):
            head, _, tail = one["name"].rpartition(".ghcr-pull-secrets.")
            assert other["name"] == f"{head}.last.ghcr-pull-secrets.{tail}"
            names = [each["name"] for each in other["matchConditions"]]
            assert names[0] == "changes"
            assert names[-2:] == ["not-listed", "has-selected-image"]
            differing = ("name", "failurePolicy", "matchConditions")
            assert {**other, **{field: one[field] for field in differing}} == one
            assert other["failurePolicy"] == "Ignore"


def test_the_names_of_all_webhooks_are_unique() -> None:
    names = [webhook["name"] for name in (NAME, LAST) for webhook in webhooks("Mutating", name=name)]

    assert len(set(names)) == len(names)


def test_the_prefix_of_the_last_configuration_is_a_value_and_its_name_is_known_wherever_it_matters() -> None:
    values = {"webhooks": {"mutating": {"lastPrefix": "zzz."}}, "cleanup": {"onUninstall": "delete"}}
    manifests, hooks = helm.render({**BASE, **values}), helm.hooks({**BASE, **values})

    names = {each["metadata"]["name"] for each in manifests if each["kind"] == "MutatingWebhookConfiguration"}
    assert names == {NAME, "zzz.ghcr-pull-secrets"}
    (controller,) = helm.select(manifests, "Deployment", f"{NAME}-controller")["spec"]["template"]["spec"]["containers"]
    assert "--last-configuration=zzz.ghcr-pull-secrets" in controller["args"]
    for role in (
        helm.select(manifests, "ClusterRole", f"{NAME}-controller"),
        helm.select(hooks, "ClusterRole", f"{NAME}-uninstall"),
    ):
        (rule,) = (each for each in role["rules"] if "mutatingwebhookconfigurations" in each["resources"])
        assert set(rule["resourceNames"]) == names
    (stop,) = helm.select(hooks, "Job")["spec"]["template"]["spec"]["initContainers"]
    assert "--last-configuration=zzz.ghcr-pull-secrets" in stop["args"]


@pytest.mark.parametrize("prefix", ["a-", "ghcr-pull-"])
def test_a_prefix_that_does_not_sort_last_is_refused(prefix: str) -> None:
    with pytest.raises(helm_python.HelmError, match=f'lastPrefix: "{prefix}" makes the name {prefix}ghcr-pull-secrets'):
        webhooks("Mutating", {"webhooks": {"mutating": {"lastPrefix": prefix}}})


def test_no_template_sets_the_ca_bundle_which_the_controller_writes() -> None:
    for webhook in webhooks("Mutating") + webhooks("Validating"):
        assert set(webhook["clientConfig"]) == {"service"}


def test_both_halves_are_safe_to_dry_run_and_see_every_version_of_a_kind() -> None:
    for webhook in webhooks("Mutating") + webhooks("Validating"):
        assert (webhook["sideEffects"], webhook["matchPolicy"]) == ("NoneOnDryRun", "Equivalent")
        assert webhook["admissionReviewVersions"] == ["v1"]
        assert all(rule["scope"] == "Namespaced" for rule in webhook["rules"])
    assert {webhook["reinvocationPolicy"] for webhook in webhooks("Mutating")} == {"IfNeeded"}


def test_failure_policy_and_timeout_are_set_for_each_half_on_its_own() -> None:
    values = {
        "webhooks": {
            "mutating": {"failurePolicy": "Ignore", "timeoutSeconds": 2},
            "validating": {"timeoutSeconds": 15},
        }
    }

    assert {(each["failurePolicy"], each["timeoutSeconds"]) for each in webhooks("Mutating", values)} == {("Ignore", 2)}
    assert {(each["failurePolicy"], each["timeoutSeconds"]) for each in webhooks("Validating", values)} == {
        ("Fail", 15)
    }
    assert {(each["failurePolicy"], each["timeoutSeconds"]) for each in webhooks("Mutating")} == {("Fail", 5)}


def operations(half: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for webhook in webhooks(half):
        for rule in webhook["rules"]:
            for place in itertools.product(rule["apiGroups"], rule["resources"]):
                found.setdefault(place, set()).update(rule["operations"])
    return found


def test_the_mutating_half_does_not_see_updates_of_what_cannot_be_changed_any_more() -> None:
    both = {"CREATE", "UPDATE"}

    assert operations("Mutating") == {
        ("", "pods"): {"CREATE"},
        ("batch", "jobs"): {"CREATE"},
        ("batch", "cronjobs"): both,
        ("", "replicationcontrollers"): both,
        **{("apps", resource): both for resource in ("deployments", "statefulsets", "daemonsets", "replicasets")},
        ("argoproj.io", "rollouts"): both,
    }


def test_the_validating_half_sees_updates_and_ephemeral_containers_too() -> None:
    both = {"CREATE", "UPDATE"}

    assert operations("Validating") == {
        **dict.fromkeys(operations("Mutating"), both),
        ("", "pods/ephemeralcontainers"): {"UPDATE"},
    }


def test_webhook_names_are_unique_and_qualified() -> None:
    values = {
        "namespaces": {"mode": "opt-in"},
        "extraWorkloadKinds": [
            {"group": "", "version": "v1", "resource": "podtemplates", "podTemplate": "/template"},
            {"group": "argoproj.io", "version": "v1alpha1", "resource": "rollouts", "podTemplate": "/spec/template"},
        ],
    }
    names = [webhook["name"] for webhook in webhooks("Validating", values)]

    assert len(names) == len(set(names)) == 2 * 6
    assert all(name.endswith("ghcr-pull-secrets.io") and name.count(".") >= 2 for name in names)


def test_an_extra_kind_is_looked_for_where_it_has_its_pod_template() -> None:
    kind = {"group": "", "version": "v1", "resource": "podtemplates", "podTemplate": "/template"}
    (webhook,) = (
        each for each in webhooks("Mutating", {"extraWorkloadKinds": [kind]}) if "podtemplates" in each["name"]
    )

    assert webhook["name"] == "podtemplates.v1.ghcr-pull-secrets.io"
    assert "object.template.spec.containers" in webhook["matchConditions"][-1]["expression"]


def test_without_extra_kinds_there_is_no_rule_for_any() -> None:
    assert ("argoproj.io", "rollouts") in operations("Mutating")
    assert len(webhooks("Mutating", {"extraWorkloadKinds": []})) == 3


def test_the_webhooks_call_the_service_of_the_release() -> None:
    manifests = helm.render({**BASE, "service": {"port": 8443}, "namespaceOverride": "elsewhere"}, name="mine")

    for half, path in (("Mutating", "/mutate"), ("Validating", "/validate")):
        found = [each for each in manifests if each["kind"] == f"{half}WebhookConfiguration"]
        for webhook in (webhook for each in found for webhook in each["webhooks"]):
            assert webhook["clientConfig"]["service"] == {
                "name": "mine-ghcr-pull-secrets",
                "namespace": "elsewhere",
                "path": path,
                "port": 8443,
            }
            assert "elsewhere" in webhook["namespaceSelector"]["matchExpressions"][0]["values"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_no_template_sets_what_the_controller_writes(switch: str) -> None:
    found = [each for each in everything(switch) if each["kind"].endswith("WebhookConfiguration")]

    assert len(found) == 3
    assert all("caBundle" not in webhook["clientConfig"] for each in found for webhook in each["webhooks"])
    kept = {"ghcr-pull-secrets-webhook-ca", "ghcr-pull-secrets-webhook-tls"}
    assert not kept & {each["metadata"]["name"] for each in everything(switch) if each["kind"] == "Secret"}
