"""The policies that admit covered Pods: what they admit, the webhook would have admitted with the same change, and no more."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin.admission import json_patch
from standin.admission.mutations import as_maps
from standin.admission.rules import selector_matches
from tests import helm
from tests.chart.cel import ENGINES, Condition
from tests.chart.shapes import pod_specs
from tests.chart.switches import BASE
from tests.matching import IMAGES, container
from tests.objects import RELEASE_NAMESPACE, payload, workload
from webhook.core import answers, copies, coverage, judging, policy, workloads
from webhook.core.judging import PullFacts
from webhook.core.kinds import POD
from webhook.core.ownership import Secret
from webhook.core.parts import parts
from webhook.core.patterns import ImagePatterns
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import MalformedObject

REVIEWS = Path(__file__).resolve().parents[2] / "standin" / "tests" / "data" / "admission-reviews"
PATTERNS = ImagePatterns(include=("ghcr.io/*", "registry.example.com:5000/*"), exclude=("ghcr.io/public/*",))
CONTENT = json.dumps(
    {"auths": {host: {"username": "u", "password": "p"} for host in ("ghcr.io", "registry.example.com:5000")}}
).encode()
CENTRAL = Secret(namespace=RELEASE_NAMESPACE, payload=CONTENT)
COPY = copies.desired("auth", CENTRAL, PATTERNS)
LABEL = "ghcr-pull-secrets.io/covered"
every_engine = pytest.mark.parametrize("engine", ENGINES)


@functools.cache
def rendered(mode: str = "opt-out", enforcement: str = "deny") -> tuple[helm.Manifest, ...]:
    values = {
        **BASE,
        "inApiServer": {"enabled": True},
        "images": {"include": list(PATTERNS.include), "exclude": list(PATTERNS.exclude)},
        "namespaces": {"mode": mode, "excluded": ["excluded"]},
        "enforcement": enforcement,
    }
    return tuple(helm.render(values))


@functools.cache
def compiled(expression: str, engine: str) -> Condition:
    return ENGINES[engine](expression)


def spec_of(kind: str, name: str = "ghcr-pull-secrets-covered", **chosen: str) -> dict[str, Any]:
    return dict(helm.select(rendered(**chosen), kind, name)["spec"])


def in_reach(kind: str, namespace: Namespace, **chosen: str) -> bool:
    labels = {"kubernetes.io/metadata.name": namespace.name}
    for key, value in (("inject", namespace.inject), ("enforce", namespace.enforce)):
        labels |= {f"ghcr-pull-secrets.io/{key}": value} if value else {}
    return selector_matches(spec_of(kind, **chosen)["matchConstraints"]["namespaceSelector"], labels)


def as_object(secret: Secret) -> dict[str, Any]:
    """A Secret as `params`."""
    labels = {key: value for key, value in secret.marks.items() if key.startswith("app.kubernetes.io/")}
    annotations = {key: value for key, value in secret.marks.items() if key not in labels}
    metadata: dict[str, Any] = {"labels": labels, "annotations": annotations}
    if secret.owned:
        metadata["ownerReferences"] = [{"kind": "X", "name": "x"}]
    if secret.deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if secret.given_away:
        annotations["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    return {"type": secret.type, "metadata": metadata}


def admits(pod: Mapping[str, Any], secret: Secret, engine: str) -> bool:
    """Tell whether all conditions of the mutating policy hold."""
    conditions = spec_of("MutatingAdmissionPolicy")["matchConditions"]
    return all(compiled(each["expression"], engine)(pod, params=as_object(secret)) for each in conditions)


def known(namespace: Namespace, engine: str) -> bool:
    labels = {"ghcr-pull-secrets.io/inject": namespace.inject, "ghcr-pull-secrets.io/enforce": namespace.enforce}
    present = {key: value for key, value in labels.items() if value}
    obj = {"metadata": {"name": namespace.name, **({"labels": present} if present else {})}}
    (variable,) = [each for each in spec_of("MutatingAdmissionPolicy")["variables"] if each["name"] == "known"]
    return compiled(variable["expression"], engine)({}, namespaceObject=obj)


def believes(pod: Mapping[str, Any], secret: Secret, engine: str) -> bool:
    """Tell whether the validating policy lets a labelled Pod in."""
    validations = spec_of("ValidatingAdmissionPolicy")["validations"]
    return all(compiled(each["expression"], engine)(pod, params=as_object(secret)) for each in validations)


def changed(pod: dict[str, Any]) -> dict[str, Any]:
    """Give a Pod that all conditions hold for as the mutating policy leaves it."""
    spec = spec_of("MutatingAdmissionPolicy")
    (mutation,) = spec["mutations"]
    import cel  # noqa: PLC0415 - no other test needs more of it than booleans

    context = cel.Context(variables={"object": pod, "variables": {"known": True}})
    made = json_patch.apply(pod, cel.compile(as_maps(mutation["jsonPatch"]["expression"])).execute(context))
    assert isinstance(made, dict)
    return made


def check(pod: dict[str, Any], engine: str, secret: Secret = COPY) -> bool:
    """Compare both on a Pod in a namespace without labels; tell whether the policies admit it."""
    rules = Rules(patterns=PATTERNS, release_namespace=RELEASE_NAMESPACE)
    namespace = Namespace(name="auth")
    try:
        read = workloads.read(POD, pod)
    except MalformedObject:
        return False  # an API server stores no such Pod
    admitted = admits(pod, secret, engine)
    assert admitted <= (coverage.coverable(read, namespace, rules) and coverage.covers(secret, rules))
    if not admitted:
        return False
    (part,) = parts([read], rules)
    decision = policy.decide(part, namespace=namespace, service_account=ServiceAccount(), rules=rules)
    by_webhook = json_patch.apply(pod, list(answers.append_pull_secrets(read, decision.add)))
    by_policy = changed(pod)
    assert by_policy["metadata"]["labels"].pop(LABEL) == "true"
    assert by_policy["spec"] == by_webhook["spec"]
    after = workloads.read(POD, by_policy)
    facts = PullFacts(listed=after.pull_secrets, secrets={"ghcr-secret": secret})
    (part,) = parts([after], rules)
    assert judging.verdict(part, facts, rules).reason is Reason.COVERED
    assert believes(by_policy, secret, engine)
    # An API server asks once more about what it has just changed; there is nothing left to do.
    by_policy["metadata"]["labels"][LABEL] = "true"
    assert not admits(by_policy, secret, engine)
    return True


RECORDED = sorted(REVIEWS.glob("mutate-create-pods-*.json"))


@every_engine
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_every_recorded_pod_is_answered_as_the_webhook_does_or_left_to_it(file: Path, engine: str) -> None:
    document = json.loads(file.read_text())
    pod = document.get("request", document)["object"]
    if pod is None or pod["kind"] != "Pod":
        return
    others = [each for each in pod["spec"].get("imagePullSecrets", []) if each["name"] != "ghcr-secret"]
    upper = any(each["image"].startswith("ghcr.io/") for each in pod["spec"]["containers"])

    assert check(pod, engine) == (upper and not others)


@every_engine
@pytest.mark.parametrize("image", IMAGES)
def test_every_spelling_of_an_image_is_answered_alike_or_left(image: str, engine: str) -> None:
    check(workload(images=[image]), engine)
    check(workload(images=["ghcr.io/a/b", image]), engine)


secrets = st.none() | st.lists(st.sampled_from([{"name": "ghcr-secret"}, {"name": "other"}, {}]), max_size=3)
annotations = st.dictionaries(
    st.sampled_from(["ghcr-pull-secrets.io/inject", "kubernetes.io/config.mirror", "a"]),
    st.sampled_from(["true", "false", "x"]),
    max_size=2,
)
plain = st.lists(
    st.builds(
        lambda image, never: {**container(image), **({"imagePullPolicy": "Never"} if never else {})},
        st.sampled_from(["ghcr.io/a", "ghcr.io/a/b:1", "ghcr.io/public/x", "nginx", "registry.example.com:5000/a"]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=3,
)


@every_engine
@given(spec=pod_specs, more=plain, listed=secrets, noted=annotations, labels=st.none() | st.just({"a": "b"}))
def test_any_pod_is_answered_as_the_webhook_does_or_left_to_it(
    engine: str,
    spec: dict[str, Any],
    more: list[dict[str, Any]],
    listed: list[dict[str, str]] | None,
    noted: dict[str, str],
    labels: dict[str, str] | None,
) -> None:
    spec = dict(spec)
    if more:
        spec["containers"] = more
    if listed is not None:
        spec["imagePullSecrets"] = listed
    metadata = {"name": "p", "annotations": noted, **({"labels": labels} if labels else {})}
    # As the API server has it: what is empty is left out.
    check(
        {
            "metadata": {key: value for key, value in metadata.items() if value},
            "spec": {key: value for key, value in spec.items() if value or key == "containers"},
        },
        engine,
    )


@every_engine
def test_what_another_injector_took_away_is_added_once_more(engine: str) -> None:
    done = changed(workload())
    assert not admits(done, COPY, engine)
    without_list = {**done, "spec": {**done["spec"], "imagePullSecrets": []}}
    without_label = {**done, "metadata": {**done["metadata"], "labels": {"a": "b"}}}

    assert admits(without_list, COPY, engine)
    assert changed(without_list)["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    assert admits(without_label, COPY, engine)
    assert changed(without_label)["metadata"]["labels"] == {"a": "b", LABEL: "true"}


@every_engine
def test_a_pod_with_more_containers_and_volumes_than_are_looked_at_is_left(engine: str) -> None:
    most = workload(images=["ghcr.io/a/b"] * 255)
    most["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]

    assert admits(most, COPY, engine)
    for field in ("containers", "volumes"):
        more = {**most, "spec": {**most["spec"], field: [*most["spec"][field], most["spec"][field][0]]}}
        assert not admits(more, COPY, engine), field


OTHER = "other-release/ghcr-secret"
SECRETS: dict[str, Secret] = {
    "another type": copies.Secret(namespace="auth", payload=CONTENT, marks=COPY.marks, type="Opaque"),
    "an owner": copies.Secret(namespace="auth", payload=CONTENT, marks=COPY.marks, owned=True),
    "being deleted": copies.Secret(namespace="auth", payload=CONTENT, marks=COPY.marks, deleting=True),
    "given away": copies.Secret(namespace="auth", payload=CONTENT, marks=COPY.marks, given_away=True),
    "no marks": copies.Secret(namespace="auth", payload=CONTENT),
    **{
        f"without {mark}": copies.Secret(
            namespace="auth", payload=CONTENT, marks={key: value for key, value in COPY.marks.items() if key != mark}
        )
        for mark in COPY.marks
        if not mark.startswith("argocd")
    },
    "another release": copies.Secret(
        namespace="auth", payload=CONTENT, marks={**COPY.marks, "ghcr-pull-secrets.io/source": OTHER}
    ),
    "narrow": copies.desired("auth", Secret(namespace=RELEASE_NAMESPACE, payload=payload()), PATTERNS),
}


@every_engine
@pytest.mark.parametrize("case", SECRETS)
def test_no_other_secret_is_believed(case: str, engine: str) -> None:
    rules = Rules(patterns=PATTERNS, release_namespace=RELEASE_NAMESPACE)
    assert check(workload(), engine)
    assert not coverage.covers(SECRETS[case], rules)
    assert not admits(workload(), SECRETS[case], engine)
    assert not believes(workload(secrets=["ghcr-secret"]), SECRETS[case], engine)


@every_engine
@pytest.mark.parametrize("mode", ["opt-out", "opt-in"])
@pytest.mark.parametrize("enforcement", Enforcement)
def test_they_act_where_the_webhook_would_inject_and_deny_and_warn_of_nothing(
    mode: str, enforcement: Enforcement, engine: str
) -> None:
    rules = Rules(
        patterns=PATTERNS,
        release_namespace=RELEASE_NAMESPACE,
        excluded=frozenset({"excluded"}),
        opt_in=mode == "opt-in",
        enforcement=enforcement,
    )
    read = workloads.read(POD, workload())
    for name in ("auth", "kube-system", RELEASE_NAMESPACE, "excluded"):
        for inject in ("", "true", "false", "x"):
            for enforce in ("", "deny", "warn", "off", "x"):
                namespace = Namespace(name=name, inject=inject, enforce=enforce)
                acts = in_reach("MutatingAdmissionPolicy", namespace, mode=mode, enforcement=enforcement)
                assert (acts and known(namespace, engine)) == coverage.coverable(read, namespace, rules)


def test_a_label_is_checked_wherever_pods_are_labelled_and_webhooks_leave_only_such_pods_out_that_are_created() -> None:
    selector = {"matchExpressions": [{"key": LABEL, "operator": "NotIn", "values": ["true"]}]}
    spec = spec_of("ValidatingAdmissionPolicy")
    assert spec["matchConstraints"]["objectSelector"] == {"matchLabels": {LABEL: "true"}}
    for manifest in rendered():
        for webhook in manifest.get("webhooks", ()) if manifest["kind"].endswith("WebhookConfiguration") else ():
            rules = webhook["rules"]
            created = {"operations": ["CREATE"], "resources": ["pods"]}
            only_created = all({key: rule[key] for key in created} == created for rule in rules)
            assert (webhook["objectSelector"] == selector) is only_created, webhook["name"]
            assert webhook["objectSelector"] in ({}, selector)


def test_the_digest_of_the_patterns_is_the_cores() -> None:
    assert f'"{PATTERNS.digest}"' in spec_of("ValidatingAdmissionPolicy")["validations"][0]["expression"]


def kinds_of(values: Mapping[str, Any], served: tuple[str, ...]) -> set[str]:
    found = helm.render_for({**BASE, **values}, *served)
    (server,) = [each for each in found if each["kind"] == "Deployment" and "server" in each["metadata"]["name"]]
    arguments = server["spec"]["template"]["spec"]["containers"][0]["args"]
    covered = {each["kind"] for each in found if each["metadata"]["name"] == "ghcr-pull-secrets-covered"}
    return covered | ({"label"} if "--label-covered" in arguments else set())


ALL = {f"{half}AdmissionPolicy{rest}" for half in ("Mutating", "Validating") for rest in ("", "Binding")}
HALF = {kind for kind in ALL if kind.startswith("Validating")}


@pytest.mark.parametrize(
    ("enabled", "served", "expected"),
    [
        ("auto", (), set()),
        ("auto", ("ValidatingAdmissionPolicy",), HALF | {"label"}),
        ("auto", ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"), ALL),
        (True, (), ALL),
        (False, ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"), set()),
    ],
)
def test_what_the_cluster_serves_says_what_is_installed(
    enabled: Any, served: tuple[str, ...], expected: set[str]
) -> None:
    assert kinds_of({"inApiServer": {"enabled": enabled}}, served) == expected


def test_another_word_is_refused() -> None:
    with pytest.raises(helm_python.HelmError, match="inApiServer"):
        helm.render({**BASE, "inApiServer": {"enabled": "yes"}})
