"""Kinds by the webhook that is for them, and any pod spec."""

from hypothesis import strategies as st

from tests.matching import PYTORCH, RAY, container, image_volume
from webhook.core.kinds import BUILT_IN_KINDS, POD, WorkloadKind

SHAPES = {
    "pods.ghcr-pull-secrets.io": POD,
    "templates.ghcr-pull-secrets.io": BUILT_IN_KINDS[1],
    "cronjobs.ghcr-pull-secrets.io": BUILT_IN_KINDS[7],
    "rollouts.v1alpha1.argoproj.io.ghcr-pull-secrets.io": WorkloadKind(
        group="argoproj.io", version="v1alpha1", resource="rollouts", templates=(("spec", "template"),)
    ),
    "rayclusters.v1.ray.io.ghcr-pull-secrets.io": RAY,
    "pytorchjobs.v1.kubeflow.org.ghcr-pull-secrets.io": PYTORCH,
}


hosts = st.sampled_from(
    [
        "ghcr.io",
        "GHCR.io",
        "ghcr.io:443",
        "ghcr.io:0443",
        "ghcr.io:80",
        "registry.example.com:5000",
        "registry.example.com:005000",
        "registry.example.com",
        "eu.pkg.dev",
        "a.b.pkg.dev",
        ".pkg.dev",
        "EU.PKG.DEV:443",
        "pkg.dev",
        "docker.io",
    ]
)


paths = st.sampled_from(["public", "team-a", "team-", "app", "apps", "a-mirror", "Public", "a", ""])


references = st.builds(
    lambda host, path, tail: "/".join([host, *path]) + tail,
    hosts,
    st.lists(paths, max_size=3),
    st.sampled_from(["", ":1", ":a-mirror", "@sha256:00", ":1@sha256:00", "\n", "\n/app", ":1\n", "\r", "\u2028"]),
)


images = st.one_of(st.none(), references, references, st.text(alphabet="ghcrio.:/@*[]\n\\KİIı", max_size=14))


pod_specs = st.fixed_dictionaries(
    {},
    optional={
        **{
            name: st.none() | st.lists(st.none() | st.builds(container, images), max_size=3)
            for name in ("containers", "initContainers", "ephemeralContainers")
        },
        "volumes": st.none()
        | st.lists(st.none() | st.just({"name": "t"}) | st.builds(image_volume, images), max_size=3),
    },
)
