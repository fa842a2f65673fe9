"""What a contract suite needs of the world an implementation lives in: to act in it as other people do."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from webhook.core.copies import Secret
from webhook.core.names import ARGOCD_ANNOTATIONS, MANAGED_BY_LABEL, MANAGED_BY_VALUE, SOURCE_ANNOTATION
from webhook.ports import Deadline, Facts, SecretWriter

PAYLOAD = b'{"auths": {"ghcr.io": {"auth": "dTpw"}}}'
OTHER_PAYLOAD = b'{"auths": {"ghcr.io": {"auth": "dTpx"}}}'

MARKS = {
    MANAGED_BY_LABEL: MANAGED_BY_VALUE,
    SOURCE_ANNOTATION: "ghcr-pull-secrets/ghcr-secret",
    **ARGOCD_ANNOTATIONS,
}


def soon() -> Deadline:
    return Deadline.after(5)


def copy(namespace: str, payload: bytes = PAYLOAD) -> Secret:
    """A copy as we would create it."""
    return Secret(namespace=namespace, payload=payload, marks=MARKS)


class World(Protocol):
    """A cluster that other people use too."""

    @property
    def facts(self) -> Facts:
        """Under test; may read `ghcr-secret` only."""
        ...

    @property
    def facts_of_all(self) -> Facts:
        """Under test; may read every Secret."""
        ...

    @property
    def writer(self) -> SecretWriter:
        """Under test."""
        ...

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a Namespace."""
        ...

    def terminate_namespace(self, name: str) -> None:
        """Delete a Namespace that something in it keeps from going."""
        ...

    def forbid_secrets_by_quota(self, namespace: str) -> None:
        """Make a ResourceQuota that allows no Secret."""
        ...

    def make_service_account(self, namespace: str, name: str, pull_secrets: Sequence[str]) -> None:
        """Create a ServiceAccount."""
        ...

    def make_secret(
        self,
        secret: Secret,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        extra: Mapping[str, bytes] | None = None,
    ) -> None:
        """Create a Secret as somebody else, with more labels, annotations and keys if wanted.

        `owned` gives it an owner. By `given_away` it is applied.
        """
        ...

    def remove_secret(self, namespace: str, name: str) -> None:
        """Delete a Secret."""
        ...

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        """Read a Secret's labels, all of them."""
        ...

    def annotations(self, namespace: str, name: str) -> Mapping[str, str]:
        """Read a Secret's annotations, all of them."""
        ...

    def keys(self, namespace: str, name: str) -> set[str]:
        """Read the keys of a Secret's data; empty if it does not exist."""
        ...

    def settle(self) -> None:
        """Let every cache catch up with what has been made."""
        ...

    def stop_watching(self) -> None:
        """Cut the caches off from the cluster; they keep what they have."""
        ...
