"""Registry of every setting."""

from typing import Final

from webhook.config import values
from webhook.config.resolving import Setting, under
from webhook.core.scope import Enforcement
from webhook.telemetry.logs import FORMATS, LEVELS

CLUSTER_SETTINGS: Final = under(
    "Cluster",
    Setting(
        name="namespace",
        metavar="NAME",
        required=True,
        parse=values.namespace,
        help="Release namespace: home of the central secret.",
    ),
    Setting(
        name="kubeconfig",
        metavar="FILE",
        parse=values.file,
        help="How to reach the API server. Without it: the ServiceAccount mounted into the Pod.",
    ),
    Setting(
        name="ca_bundle",
        metavar="FILE",
        parse=values.ca_bundle,
        help=(
            "PEM certificates of CAs to trust besides the system's, for registry, GitHub's API, proxies, and an API "
            "server whose kubeconfig names no CA. The file may change at any time."
        ),
    ),
    Setting(
        name="read_all_secrets",
        switch=True,
        default="false",
        parse=values.switch,
        help="RBAC lets us read pull secrets of any name, so judge those too.",
    ),
)
"""How to reach the cluster and what may be read there."""

POLICY_SETTINGS: Final = under(
    "Policy",
    Setting(
        name="images_include",
        metavar="PATTERN",
        repeatable=True,
        default=("ghcr.io/*",),
        parse=values.patterns("include"),
        help="Images to look after.",
    ),
    Setting(
        name="images_exclude",
        metavar="PATTERN",
        repeatable=True,
        default=(),
        parse=values.patterns("exclude"),
        help="Images to leave alone among those.",
    ),
    Setting(
        name="namespaces_mode",
        metavar="opt-out|opt-in",
        default="opt-out",
        parse=values.one_of(("opt-out", "opt-in")),
        help='Namespaces that are in: those without ghcr-pull-secrets.io/inject "false", or only those with "true".',
    ),
    Setting(
        name="namespaces_excluded",
        metavar="NAME",
        repeatable=True,
        default=(),
        parse=values.each(values.namespace),
        help="Namespaces never to touch, besides kube-system, kube-public, kube-node-lease and the release namespace.",
    ),
    Setting(
        name="enforcement",
        metavar="|".join(Enforcement),
        default=Enforcement.DENY.value,
        parse=values.one_of(tuple(Enforcement)),
        help="What happens to a workload that would pull without credentials, unless its namespace's label says.",
    ),
    Setting(
        name="unverifiable",
        metavar="allow|deny",
        default="allow",
        parse=values.one_of(("allow", "deny")),
        help="Whether pull secrets that may not be read count as credentials.",
    ),
    Setting(
        name="templates",
        metavar="inject|leave",
        default="inject",
        parse=values.one_of(("inject", "leave")),
        help="Whether templates without pull secrets are given ghcr-secret, or left to their Pods.",
    ),
    Setting(
        name="workload_kind",
        metavar="GROUP/VERSION/RESOURCE=/POINTER",
        repeatable=True,
        default=("argoproj.io/v1alpha1/rollouts=/spec/template",),
        parse=values.workload_kinds,
        help=(
            "Further kinds of workload and where their pod template is; a kind with several is given again for each. "
            "In the pointer, NAME[] is every entry of a list and * every value of a map."
        ),
    ),
)
"""What is decided."""

LOG_SETTINGS: Final = under(
    "Log",
    Setting(
        name="log_level",
        metavar="|".join(LEVELS),
        default="info",
        parse=values.one_of(LEVELS),
        help="Least level that is written.",
    ),
    Setting(
        name="log_format",
        metavar="|".join(FORMATS),
        default="json",
        parse=values.one_of(FORMATS),
        help="Form of a line.",
    ),
)

SERVER_SETTINGS: Final = under(
    "Server",
    Setting(
        name="bind",
        metavar="HOST:PORT",
        default="0.0.0.0:10250",
        parse=values.address,
        help="Where the API server calls (HTTPS).",
    ),
    Setting(
        name="ops_bind",
        metavar="HOST:PORT",
        default="0.0.0.0:8080",
        parse=values.address,
        help="Where /healthz, /readyz and /metrics are (plain HTTP).",
    ),
    Setting(
        name="tls_dir",
        metavar="DIR",
        parse=values.directory,
        help="Directory of tls.crt and tls.key, in place of the Secret; they may come later and change at any time.",
    ),
    Setting(
        name="tls_secret",
        metavar="NAME",
        default="ghcr-pull-secrets-webhook-tls",
        parse=values.object_name,
        help="Secret in the release namespace that holds the certificate; it may come later and change at any time.",
    ),
    Setting(
        name="tls_cache_dir",
        metavar="DIR",
        parse=values.directory,
        help="Where the Secret's certificate and key are written for OpenSSL. Without it: a directory in memory.",
    ),
    Setting(
        name="threads", metavar="N", default="16", parse=values.threads, help="Reviews worked on at the same time."
    ),
    Setting(
        name="label_covered",
        switch=True,
        default="false",
        parse=values.switch,
        help="Label Pods that need no second call; only with the chart's policy that checks the label.",
    ),
    Setting(
        name="max_body_bytes",
        metavar="SIZE",
        default="8Mi",
        parse=values.size,
        help="Largest review read. The API server takes objects of up to 3 MiB; an UPDATE carries two.",
    ),
    Setting(
        name="memory_limit",
        metavar="SIZE",
        default="256Mi",
        parse=values.size,
        help="Memory the container may use. It bounds the reviews that are read at the same time.",
    ),
    Setting(
        name="client_ca",
        metavar="FILE",
        parse=values.file,
        help="CAs whose client certificates are asked for. Without it, whoever can connect may ask for a review.",
    ),
    Setting(
        name="shutdown_delay",
        metavar="DURATION",
        default="10s",
        parse=values.seconds,
        help="Time to go on serving after SIGTERM, until every API server has learned that this one is going.",
    ),
)

SERVE_SETTINGS: Final = (*SERVER_SETTINGS, *CLUSTER_SETTINGS, *POLICY_SETTINGS, *LOG_SETTINGS)
