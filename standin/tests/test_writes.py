"""What writes do to objects, beyond the recordings."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from standin import ApiServer
from standin.tests.http import MERGE, SECRETS, Http, deployment, secret

DEPLOYMENTS = "/apis/apps/v1/namespaces/app/deployments"
APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"


def test_an_update_that_changes_nothing_keeps_the_resource_version(http: Http) -> None:
    stored = http.ok("POST", SECRETS, secret("s"))
    assert http.ok("PUT", f"{SECRETS}/s", stored) == stored
    patched = http.ok("PATCH", f"{SECRETS}/s", {"data": stored["data"]}, MERGE)
    assert patched["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


def test_generation_counts_changes_of_the_spec_only(http: Http) -> None:
    http.ok("POST", DEPLOYMENTS, deployment("d"))
    labelled = http.ok("PATCH", f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert labelled["metadata"]["generation"] == 1
    scaled = http.ok("PATCH", f"{DEPLOYMENTS}/d", {"spec": {"replicas": 3}}, MERGE)
    assert scaled["metadata"]["generation"] == 2
    status = http.ok("PATCH", f"{DEPLOYMENTS}/d/status", {"spec": {"replicas": 9}, "status": {"replicas": 3}}, MERGE)
    assert (status["spec"]["replicas"], status["status"], status["metadata"]["generation"]) == (3, {"replicas": 3}, 2)


def test_the_main_endpoint_leaves_the_status_alone(http: Http) -> None:
    http.ok("POST", DEPLOYMENTS, deployment("d"))
    changed = http.ok("PATCH", f"{DEPLOYMENTS}/d", {"status": {"replicas": 7}}, MERGE)
    assert changed["status"] == {}


def test_dry_run_writes_nothing(api: ApiServer, http: Http) -> None:
    http.ok("POST", SECRETS, secret("s"))
    before = api.store.revision
    changed = http.ok("PATCH", f"{SECRETS}/s?dryRun=All", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert changed["metadata"]["labels"] == {"a": "b"}
    http.ok("DELETE", f"{SECRETS}/s?dryRun=All")
    assert api.store.revision == before


def test_generate_name_adds_five_characters(http: Http) -> None:
    body = secret("x")
    body["metadata"] = {"generateName": "made-"}
    name = http.ok("POST", SECRETS, body)["metadata"]["name"]
    assert name.startswith("made-")
    assert len(name) == len("made-") + 5


def test_strategic_merge_adds_to_lists_by_their_key(http: Http) -> None:
    http.ok("POST", DEPLOYMENTS, deployment("d", imagePullSecrets=[{"name": "one"}]))
    patch = {"spec": {"template": {"spec": {
        "imagePullSecrets": [{"name": "two"}], "containers": [{"name": "main", "image": "x:2"}, {"name": "side", "image": "y"}],
    }}}}  # fmt: skip
    spec = http.ok("PATCH", f"{DEPLOYMENTS}/d", patch, STRATEGIC)["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert [(item["name"], item["image"]) for item in spec["containers"]] == [("main", "x:2"), ("side", "y")]


def test_strategic_merge_obeys_its_directives(http: Http) -> None:
    http.ok("POST", DEPLOYMENTS, deployment("d", imagePullSecrets=[{"name": "one"}, {"name": "two"}]))
    patch = {"spec": {"template": {"spec": {
        "$setElementOrder/imagePullSecrets": [{"name": "three"}, {"name": "two"}],
        "imagePullSecrets": [{"$patch": "delete", "name": "one"}, {"name": "three"}],
    }}}}  # fmt: skip
    spec = http.ok("PATCH", f"{DEPLOYMENTS}/d", patch, STRATEGIC)["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "three"}, {"name": "two"}]


def test_a_service_accounts_pull_secrets_are_one_value_to_a_strategic_merge(http: Http) -> None:
    accounts = "/api/v1/namespaces/app/serviceaccounts"
    body = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "x"},
        "imagePullSecrets": [{"name": "a"}],
    }
    http.ok("POST", accounts, body)
    patched = http.ok("PATCH", f"{accounts}/x", {"imagePullSecrets": [{"name": "b"}]}, STRATEGIC)
    assert patched["imagePullSecrets"] == [{"name": "b"}]


def _apply(http: Http, body: Any, manager: str, *, force: bool = False) -> Any:
    query = f"fieldManager={manager}" + ("&force=true" if force else "")
    return http.send("PATCH", f"{DEPLOYMENTS}/d?{query}", body, APPLY)


def test_applying_the_same_twice_changes_nothing(http: Http) -> None:
    _, first = _apply(http, deployment("d"), "one")
    status, second = _apply(http, deployment("d"), "one")
    assert (status, second) == (200, first)


def test_an_apply_removes_what_it_no_longer_names(http: Http) -> None:
    _apply(http, deployment("d", imagePullSecrets=[{"name": "a"}, {"name": "b"}], nodeSelector={"x": "y"}), "one")
    _, after = _apply(http, deployment("d", imagePullSecrets=[{"name": "b"}]), "one")
    spec = after["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "b"}]
    assert "nodeSelector" not in spec


def test_an_apply_leaves_what_others_added(http: Http) -> None:
    _apply(http, deployment("d"), "one")
    patch = {"spec": {"template": {"spec": {"imagePullSecrets": [{"name": "added"}]}}}}
    http.ok("PATCH", f"{DEPLOYMENTS}/d?fieldManager=other", patch, STRATEGIC)
    _, after = _apply(http, deployment("d", image="x:2"), "one")
    spec = after["spec"]["template"]["spec"]
    assert (spec["imagePullSecrets"], spec["containers"][0]["image"]) == ([{"name": "added"}], "x:2")


def test_an_apply_conflicts_with_another_manager_and_wins_by_force(http: Http) -> None:
    _apply(http, deployment("d"), "one")
    http.ok("PATCH", f"{DEPLOYMENTS}/d?fieldManager=two", {"spec": {"replicas": 5}}, MERGE)
    body = deployment("d")
    body["spec"]["replicas"] = 2
    status, answer = _apply(http, body, "one")
    assert (status, answer["reason"]) == (409, "Conflict")
    assert [cause["field"] for cause in answer["details"]["causes"]] == [".spec.replicas"]
    status, answer = _apply(http, body, "one", force=True)
    assert (status, answer["spec"]["replicas"]) == (200, 2)


def test_an_object_with_a_finalizer_waits_for_it(api: ApiServer, http: Http) -> None:
    http.ok("POST", SECRETS, secret("s", finalizers=["example.com/hold"]))
    marked = http.ok("DELETE", f"{SECRETS}/s")
    assert "deletionTimestamp" in marked["metadata"]
    http.ok("PATCH", f"{SECRETS}/s", {"metadata": {"finalizers": None}}, MERGE)
    assert api.store.get("secrets", "app", "s") is None


def test_delete_collection_takes_what_the_selector_selects(api: ApiServer, http: Http) -> None:
    for name, label in (("a", "x"), ("b", "y")):
        http.ok("POST", SECRETS, secret(name, labels={"l": label}))
    http.ok("DELETE", f"{SECRETS}?labelSelector=l%3Dx")
    assert [obj["metadata"]["name"] for obj in api.store.list("secrets", "app")] == ["b"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("l=x", ["a"]),
        ("l!=x", ["b", "c"]),
        ("l in (x,y)", ["a", "b"]),
        ("l notin (x)", ["b", "c"]),
        ("l", ["a", "b"]),
        ("!l", ["c"]),
    ],
)
def test_label_selectors_select(http: Http, selector: str, names: list[str]) -> None:
    for name, labels in (("a", {"l": "x"}), ("b", {"l": "y"}), ("c", {})):
        http.ok("POST", SECRETS, secret(name, labels=labels))
    found = http.ok("GET", f"{SECRETS}?labelSelector={selector.replace(' ', '%20').replace('!', '%21')}")
    assert [item["metadata"]["name"] for item in found["items"]] == names


def test_scaling_sets_the_replicas_of_the_workload(http: Http) -> None:
    http.ok("POST", DEPLOYMENTS, deployment("d"))
    scale = http.ok("GET", f"{DEPLOYMENTS}/d/scale")
    scale["spec"]["replicas"] = 4
    assert http.ok("PUT", f"{DEPLOYMENTS}/d/scale", scale)["spec"] == {"replicas": 4}
    assert http.ok("GET", f"{DEPLOYMENTS}/d")["spec"]["replicas"] == 4


def test_a_custom_resource_is_served_once_its_definition_is_stored(http: Http) -> None:
    names = {"plural": "rollouts", "kind": "Rollout"}
    versions = [{"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}}}]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {"group": "argoproj.io", "names": names, "scope": "Namespaced", "versions": versions},
    }
    path = "/apis/argoproj.io/v1alpha1/namespaces/app/rollouts"
    assert http.send("GET", path)[0] == 404
    http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"}, "spec": {"x": [1]}}
    assert http.ok("POST", path, body)["spec"] == {"x": [1]}
    assert [item["kind"] for item in http.ok("GET", path)["items"]] == ["Rollout"]
    http.ok("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rollouts.argoproj.io")
    assert http.send("GET", path)[0] == 404


def test_unknown_fields_are_refused_when_strict_and_dropped_otherwise(http: Http) -> None:
    body = deployment("d")
    body["spec"]["template"]["spec"]["imagePullSecret"] = []
    status, answer = http.send("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", body)
    assert status == 400
    assert 'unknown field "spec.template.spec.imagePullSecret"' in answer["message"]
    stored = http.ok("POST", DEPLOYMENTS, body)
    assert "imagePullSecret" not in stored["spec"]["template"]["spec"]
    assert stored["spec"]["replicas"] == 1
    assert http.headers["warning"] == '299 - "unknown field \\"spec.template.spec.imagePullSecret\\""'


def test_a_field_of_a_wrong_type_is_refused(http: Http) -> None:
    body = deployment("d")
    body["spec"]["replicas"] = "many"
    status, answer = http.send("POST", DEPLOYMENTS, body)
    assert (status, answer["reason"]) == (400, "BadRequest")


def test_sixteen_writers_lose_no_update(api: ApiServer) -> None:
    api.admin.create("configmaps", "app", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})

    def write(number: int) -> None:
        client = Http(api)
        client.ok("PATCH", "/api/v1/namespaces/app/configmaps/c", {"data": {f"k{number}": "v"}}, MERGE)
        client.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(48)))
    assert len(api.admin.get("configmaps", "app", "c")["data"]) == 48
