"""ServiceAccounts as the API server shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from standin import ApiServer


def account(api: ApiServer, name: str, rules: Sequence[Mapping[str, Any]]) -> str:
    """Make a ServiceAccount with a ClusterRole; return its token."""
    token = api.token_for("ghcr", name)
    rbac = "rbac.authorization.k8s.io"
    api.load(
        [
            {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "ServiceAccount", "namespace": "ghcr", "name": name}],
            },
        ]
    )
    return token
