"""Fixed names of labels, annotations and Secrets.

Users, charts and other tools depend on them: a change here is a breaking change.
"""

from typing import Final

from webhook.core.keyring import DOCKER_CFG, DOCKER_CONFIG_JSON

SECRET_NAME: Final = "ghcr-secret"
"""Name of the central secret and of every copy."""

SECRET_TYPE: Final = DOCKER_CONFIG_JSON
SECRET_KEY: Final = ".dockerconfigjson"

PULL_SECRET_KEYS: Final = {SECRET_TYPE: SECRET_KEY, DOCKER_CFG: ".dockercfg"}
"""The types of Secret the kubelet takes registry credentials from, and the key it takes them from."""

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE: Final = "ghcr-pull-secrets"

FIELD_MANAGER: Final = "ghcr-pull-secrets"
"""Under this name the API server notes which fields we wrote (`metadata.managedFields`)."""

LAST_APPLIED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Written by `kubectl apply`, and by nothing we do."""

SOURCE_ANNOTATION: Final = "ghcr-pull-secrets.io/source"
ADOPT_ANNOTATION: Final = "ghcr-pull-secrets.io/adopt"

COVERS_ANNOTATION: Final = "ghcr-pull-secrets.io/covers"
"""`all` on a copy that has a credential for every selected image whose host is written plainly; set by us alone."""

COVERS_ALL: Final = "all"

PATTERNS_ANNOTATION: Final = "ghcr-pull-secrets.io/covers-patterns"
"""For which patterns that is so: `ImagePatterns.digest`."""

COVERED_LABEL: Final = "ghcr-pull-secrets.io/covered"
"""A Pod's label, `true` if it needs no review: the API server's own policies made sure of all of it."""

INJECT_KEY: Final = "ghcr-pull-secrets.io/inject"
"""A Namespace's label and a workload's annotation."""

ENFORCE_LABEL: Final = "ghcr-pull-secrets.io/enforce"

PROVISION_LABEL: Final = "ghcr-pull-secrets.io/provision"
"""A Namespace's label whose value `true` asks for a copy before any workload does."""

ARGOCD_ANNOTATIONS: Final = {
    # A copy lives beside an Application's objects without being one of them: Argo CD must neither call the
    # Application out of sync for it nor prune it.
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false",
}

MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
"""Set by the kubelet on the API server's image of a static Pod, which no admission can change."""

SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Never touched; the release namespace is added to them by `scope.Rules`."""
