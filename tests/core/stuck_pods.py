"""Pods that cannot pull, and what is around them."""

from dataclasses import replace
from typing import Any

from tests.objects import CANARY, RULES, payload, secret, workload
from webhook.core import copies, diagnosing, kubelet_words, workloads
from webhook.core.causes import PodDiagnosis, Surroundings
from webhook.core.judging import SecretFact
from webhook.core.kinds import POD
from webhook.core.scope import Namespace

CENTRAL = secret()


COPY = copies.desired("auth", CENTRAL, RULES.patterns)


AUTH = Namespace(name="auth")


def diagnosed(pod: dict[str, Any], around: Surroundings, *, rules: Any = RULES) -> PodDiagnosis | None:
    subject = workloads.read(POD, pod)
    stuck = diagnosing.find_stuck(subject, kubelet_words.read(pod), rules)
    return None if stuck is None else diagnosing.diagnose(subject, stuck, around, rules)


ANONYMOUS = "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"


REJECTED = "failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden"


DENIED = "pulling from host ghcr.io failed with status code [manifests latest]: 403 Forbidden"


NO_HOST = "dial tcp: lookup ghcr.io: no such host"


def pod(message: str, *, reason: str = "ImagePullBackOff", place: str = "containers", **changes: Any) -> dict[str, Any]:
    """A Pod whose one container waits."""
    made = workload("Pod", **{"secrets": ["ghcr-secret"], **changes})
    if place != "containers":
        made["spec"][place] = made["spec"].pop("containers")
    entry = {"name": "c0", "state": {"waiting": {"reason": reason, "message": message}}}
    return made | {"status": {"phase": "Pending", f"{place.removesuffix('s')}Statuses": [entry]}}


def around(ours: SecretFact = COPY, **changes: Any) -> Surroundings:
    fields: dict[str, Any] = {"namespace": AUTH, "central": CENTRAL, "secrets": {"ghcr-secret": ours}, **changes}
    return Surroundings(**fields)


def with_payload(content: bytes, **changes: Any) -> copies.Secret:
    return replace(COPY, payload=content, **changes)


OTHER_TOKEN = payload(token=CANARY[::-1])


MIRROR = (
    "unexpected status from HEAD request to https://mirror.corp/v2/sesacthon/auth-api/manifests/latest?ns=ghcr.io: "
)
