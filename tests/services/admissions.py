"""Admission over a fake cluster."""

from typing import Any

from tests.core.kinds import KINDS
from tests.objects import RELEASE_NAMESPACE, RULES
from tests.services.fakes import FakeCluster
from webhook.admission import Admission
from webhook.core.scope import Rules
from webhook.provisioning import Provisioner


def admission(cluster: FakeCluster, *, read_all: bool = False, **rules: Any) -> Admission:
    facts = cluster.facts_of_all if read_all else cluster.facts
    fields = {"patterns": RULES.patterns, "release_namespace": RELEASE_NAMESPACE, **rules}
    chosen = Rules(**fields)
    provisioner = Provisioner(facts, cluster.writer, rules=chosen)
    return Admission(rules=chosen, kinds=KINDS, facts=facts, provisioner=provisioner)
