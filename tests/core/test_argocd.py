"""What Argo CD itself said of workloads whose Git names these pull secrets (docs/argocd.md, "Why nothing drifts").

`tests/data/argocd-status.jsonl` was recorded with the application controller and the repo server of Argo CD 3.5.1 on a
kube-apiserver 1.36 with this chart installed, one Application for each way of syncing and comparing:

| way | `syncOptions` | `compare-options` |
|---|---|---|
| client | | |
| ssa | `ServerSideApply=true` | |
| ssd | | `ServerSideDiff=true` |
| ssa+ssd | `ServerSideApply=true` | `ServerSideDiff=true` |
| ssa+ssd+imw | `ServerSideApply=true` | `ServerSideDiff=true,IncludeMutationWebhook=true` |

`git` is the list in the manifest (null: none), `live` what each pod template has in the cluster after the sync, the same
in every way, and `status` what Argo CD says of the object.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.core.kinds import kind_named
from tests.core.rules import AUTH
from tests.matching import RAY, container
from tests.objects import IMAGE, RULES, TEMPLATE_PATHS, pod_spec_of, workload
from webhook.core import policy
from webhook.core.parts import parts
from webhook.core.policy import ServiceAccount
from webhook.core.workloads import read_all

ROWS: Final[list[dict[str, Any]]] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "argocd-status.jsonl").read_text(encoding="utf-8").splitlines()
]
BUILT_IN: Final = TEMPLATE_PATHS.keys() - {"Rollout"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']}-{row['git']}")
def test_each_template_is_given_what_argo_cd_was_asked_about(row: dict[str, Any]) -> None:
    # An API server drops an empty list from the kinds that it has types of, before it asks anybody.
    listed = None if row["kind"] in BUILT_IN and not row["git"] else row["git"]
    if row["kind"] == "RayCluster":
        spec = {"containers": [container(IMAGE)]} | ({} if listed is None else {"imagePullSecrets": named(listed)})
        group = {"template": {"spec": spec}}
        found = read_all(RAY, {"metadata": {}, "spec": {"headGroupSpec": group, "workerGroupSpecs": [group]}})
    else:
        document = workload(row["kind"])
        if listed is not None:
            pod_spec_of(document)["imagePullSecrets"] = named(listed)
        found = read_all(kind_named(row["kind"]), document)

    got = []
    for part in parts(found, RULES, update=False):
        decision = policy.decide(part, namespace=AUTH, service_account=ServiceAccount(), rules=RULES)
        names = [*part.workload.pull_secrets, *decision.add]
        got.append(names if names or part.workload.listed is not None else None)
    assert got == row["live"]


def test_every_kind_was_tried_with_every_list_in_every_way() -> None:
    tried = {(row["kind"], str(row["git"])) for row in ROWS}
    lists = [None, [], ["other"], ["ghcr-secret"]]
    assert tried == {(kind, str(git)) for kind in {*TEMPLATE_PATHS, "RayCluster"} for git in lists}
    assert {tuple(row["status"]) for row in ROWS} == {("client", "ssa", "ssd", "ssa+ssd", "ssa+ssd+imw")}


def test_argo_cd_finds_the_two_differences_of_the_page_and_no_other() -> None:
    found = {
        (row["kind"], str(row["git"]), way)
        for row in ROWS
        for way, status in row["status"].items()
        if status != "Synced"
    }
    assert found == {(kind, "[]", "client") for kind in BUILT_IN} | {("RayCluster", "None", "ssa")}


def named(names: list[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]
