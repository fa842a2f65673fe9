"""What the chart renders under every switch, shown to the API server: strictly read, and every expression type-checked."""

import pytest
import yaml

from tests import helm
from tests.chart.switches import BASE, SWITCHES, everything, manifests
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.planes import ControlPlane
from tests.e2e.machinery.waiting import until

pytestmark = pytest.mark.xdist_group("chart-objects")

CUSTOM = ("cert-manager.io/", "external-secrets.io/", "monitoring.coreos.com/")


@pytest.fixture(scope="module")
def kube(installation: Installation) -> Kube:
    """With the namespaces that the switches name."""
    for name in {each["metadata"].get("namespace") for switch in SWITCHES for each in everything(switch)} - {None}:
        installation.namespace(str(name))
    return installation.kube


def documents(switch: str) -> list[str]:
    """What Helm has written, as it stands: what a Python YAML makes of it may be something else to Go."""
    found = []
    # A release of another name: nothing of it is there, to be merged with.
    for path, text in helm.files({**BASE, **SWITCHES[switch]}, name="switched").items():
        for document in text.split("\n---\n") if path.endswith(".yaml") else ():
            read = yaml.safe_load(document)
            # A Pod needs its ServiceAccount, which a dry run does not make.
            if read and not read["apiVersion"].startswith(CUSTOM) and read["kind"] != "Pod":
                found.append(document)
    return found


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_api_server_takes_what_a_switch_renders(switch: str, kube: Kube) -> None:
    texts = documents(switch)
    how = ["--server-side", "--force-conflicts", "--field-manager=switches", "--dry-run=server", "--validate=strict"]

    done = kube("apply", "-f", "-", *how, stdin="\n---\n".join(texts))

    assert len(done.out.splitlines()) == len(texts) >= 10
    # What the user gives in place of our constraints has no selector.
    assert "Warning" not in done.err or switch == "topology"


def test_no_expression_of_a_policy_is_warned_of(plane: ControlPlane, installation: Installation) -> None:
    names = [each["metadata"]["name"] for each in manifests() if each["kind"] == "ValidatingAdmissionPolicy"]

    def warnings(name: str) -> list[object] | None:
        found = installation.kube.get("validatingadmissionpolicy", name)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return None
        return list(status["typeChecking"].get("expressionWarnings", []))

    assert len(names) == 2
    for name in names:
        if plane.name == "real":
            until(lambda name=name: warnings(name) is not None, f"{name} was checked")  # type: ignore[misc]
            assert warnings(name) == []
        else:
            assert warnings(name) is None, "if the stand-in checks types now, ask it"
