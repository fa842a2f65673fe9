"""Authorization from stored roles."""

from __future__ import annotations

import pytest

from standin.interfaces import Json, ResourceInfo, User
from standin.rbac import Grant, RbacAuthorizer, describe, service_account_user
from standin.tests.fake_cluster import FakeStore, resource

G = "rbac.authorization.k8s.io"
SECRETS, PODS = resource("secrets", "Secret"), resource("pods", "Pod")
DEPLOYMENTS = resource("deployments", "Deployment", group="apps")
NARROW = service_account_user("lab", "narrow")


class Policy(FakeStore):
    """A store with helpers for what the tests grant."""

    def grant(self, user: User, *rules: Json, namespace: str = "", name: str = "r") -> None:
        """Bind a ClusterRole in the entire cluster, or a Role in one namespace, to a ServiceAccount or user."""
        scope = {"namespace": namespace} if namespace else {}
        kind = "Role" if namespace else "ClusterRole"
        self.put(f"{kind.lower()}s.{G}", {"metadata": {"name": name, **scope}, "rules": list(rules)})
        parts = user.name.split(":")
        subject = (
            {"kind": "ServiceAccount", "namespace": parts[2], "name": parts[3]}
            if user.name.startswith("system:serviceaccount:")
            else {"kind": "User", "name": user.name}
        )
        self.bind(kind, name, subject, namespace=namespace)

    def bind(self, role_kind: str, role: str, subject: Json, *, namespace: str = "", name: str = "b") -> None:
        """Add a binding."""
        scope = {"namespace": namespace} if namespace else {}
        plural = "rolebindings" if namespace else "clusterrolebindings"
        self.put(
            f"{plural}.{G}",
            {
                "metadata": {"name": f"{name}-{role}", **scope},
                "roleRef": {"apiGroup": G, "kind": role_kind, "name": role},
                "subjects": [subject],
            },
        )


@pytest.fixture
def store() -> Policy:
    return Policy()


@pytest.fixture
def authorizer(store: Policy) -> RbacAuthorizer:
    return RbacAuthorizer(store)


def allowed(
    authorizer: RbacAuthorizer,
    verb: str,
    what: ResourceInfo | None,
    name: str = "",
    *,
    user: User = NARROW,
    namespace: str = "",
    subresource: str = "",
    path: str = "",
) -> bool:
    return authorizer.authorize(user, verb, what, subresource, namespace, name, path) is None


def rule(verbs: str, resources: str, *, group: str = "", names: str = "") -> Json:
    limited = {"resourceNames": names.split()} if names else {}
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **limited}


def test_nothing_is_allowed_without_a_grant(authorizer: RbacAuthorizer) -> None:
    assert authorizer.authorize(NARROW, "get", SECRETS, "", "tr", "x", "") == ""


def test_a_resource_name_limits_reading_one_and_listing_by_field_selector(
    store: Policy, authorizer: RbacAuthorizer
) -> None:
    store.grant(NARROW, rule("get list watch create deletecollection", "secrets", names="ghcr-secret"))
    for verb in ("get", "list", "watch", "deletecollection"):
        assert allowed(authorizer, verb, SECRETS, "ghcr-secret")
        assert not allowed(authorizer, verb, SECRETS, "plain")
        assert not allowed(authorizer, verb, SECRETS)
    # A create has no name yet, so a rule with names can never allow it.
    assert not allowed(authorizer, "create", SECRETS)


def test_a_role_holds_in_its_namespace_only(store: Policy, authorizer: RbacAuthorizer) -> None:
    store.grant(NARROW, rule("get", "pods"), namespace="lab")
    assert allowed(authorizer, "get", PODS, "p", namespace="lab")
    assert not allowed(authorizer, "get", PODS, "p", namespace="other")
    assert not allowed(authorizer, "list", PODS)


def test_a_cluster_role_bound_in_a_namespace_holds_there(store: Policy, authorizer: RbacAuthorizer) -> None:
    store.put(f"clusterroles.{G}", {"metadata": {"name": "view"}, "rules": [rule("get", "pods")]})
    subject = {"kind": "ServiceAccount", "name": "narrow"}
    store.bind("ClusterRole", "view", subject, namespace="lab")
    assert allowed(authorizer, "get", PODS, "p", namespace="lab")
    assert not allowed(authorizer, "get", PODS, "p", namespace="tr")


@pytest.mark.parametrize(
    ("entry", "subresource", "expected"),
    [
        ("pods", "", True),
        ("pods", "log", False),
        ("pods/log", "log", True),
        ("pods/log", "", False),
        ("*", "log", True),
        ("*/log", "log", True),
        ("*/log", "exec", False),
        ("pods/*", "log", False),
    ],
)
def test_subresources_are_granted_apart(
    store: Policy, authorizer: RbacAuthorizer, entry: str, subresource: str, *, expected: bool
) -> None:
    store.grant(NARROW, rule("get", entry))
    assert allowed(authorizer, "get", PODS, "p", subresource=subresource) is expected


def test_groups_verbs_and_wildcards(store: Policy, authorizer: RbacAuthorizer) -> None:
    store.grant(NARROW, rule("get", "deployments", group="apps"), rule("*", "secrets", group="*"))
    assert allowed(authorizer, "get", DEPLOYMENTS, "d")
    assert not allowed(authorizer, "list", DEPLOYMENTS)
    assert not allowed(authorizer, "get", resource("deployments", "Deployment", group="extensions"), "d")
    assert allowed(authorizer, "delete", SECRETS, "x")


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "Group", "name": "system:serviceaccounts"},
        {"kind": "Group", "name": "system:serviceaccounts:lab"},
        {"kind": "Group", "name": "system:authenticated"},
        {"kind": "User", "name": "system:serviceaccount:lab:narrow"},
        {"kind": "ServiceAccount", "namespace": "lab", "name": "narrow"},
    ],
    ids=lambda subject: f"{subject['kind']}-{subject['name']}",
)
def test_a_service_account_is_bound_by_name_or_group(store: Policy, authorizer: RbacAuthorizer, subject: Json) -> None:
    store.put(f"clusterroles.{G}", {"metadata": {"name": "r"}, "rules": [rule("get", "pods")]})
    store.bind("ClusterRole", "r", subject)
    assert allowed(authorizer, "get", PODS, "p")
    assert not allowed(authorizer, "get", PODS, "p", user=User(name="stranger"))


def test_paths(store: Policy, authorizer: RbacAuthorizer) -> None:
    store.grant(NARROW, {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]})
    assert allowed(authorizer, "get", None, path="/metrics")
    assert allowed(authorizer, "get", None, path="/debug/pprof")
    assert not allowed(authorizer, "post", None, path="/metrics")
    assert not allowed(authorizer, "get", None, path="/metrics/x")


def test_discovery_is_for_whoever_is_authenticated(authorizer: RbacAuthorizer) -> None:
    anonymous = User(name="system:anonymous", groups=("system:unauthenticated",))
    for path in ("/api", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert allowed(authorizer, "get", None, path=path)
    assert allowed(authorizer, "get", None, path="/healthz", user=anonymous)
    assert not allowed(authorizer, "get", None, path="/apis", user=anonymous)
    reviews = resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", group="authorization.k8s.io")
    assert allowed(authorizer, "create", reviews)


def test_masters_may_do_everything(authorizer: RbacAuthorizer) -> None:
    assert allowed(authorizer, "delete", SECRETS, user=User(name="admin", groups=("system:masters",)))


def test_a_binding_to_a_role_that_is_gone_grants_nothing(store: Policy, authorizer: RbacAuthorizer) -> None:
    store.bind("ClusterRole", "gone", {"kind": "User", "name": NARROW.name})
    assert not allowed(authorizer, "get", PODS, "p")


class TestUse:
    def test_what_was_granted_and_never_needed_is_known(self, store: Policy, authorizer: RbacAuthorizer) -> None:
        store.grant(NARROW, rule("get list", "secrets", names="ghcr-secret"), rule("get", "pods"))
        assert allowed(authorizer, "get", SECRETS, "ghcr-secret", namespace="tr")
        assert authorizer.used(NARROW.name) == {Grant(verb="get", resource="secrets", resource_name="ghcr-secret")}
        assert describe(authorizer.unused(NARROW)) == ["get pods", "list secrets named ghcr-secret"]

    def test_a_refused_request_uses_nothing(self, store: Policy, authorizer: RbacAuthorizer) -> None:
        store.grant(NARROW, rule("get", "pods"))
        assert not allowed(authorizer, "delete", PODS, "p")
        assert authorizer.used(NARROW.name) == frozenset()

    def test_the_narrowest_grant_counts_as_used(self, store: Policy, authorizer: RbacAuthorizer) -> None:
        store.grant(NARROW, rule("get", "secrets"), rule("get", "secrets", names="ghcr-secret"))
        assert allowed(authorizer, "get", SECRETS, "ghcr-secret")
        assert describe(authorizer.unused(NARROW)) == ["get secrets"]

    def test_counting_can_begin_again(self, store: Policy, authorizer: RbacAuthorizer) -> None:
        store.grant(NARROW, rule("get", "deployments", group="apps"), namespace="lab")
        assert allowed(authorizer, "get", DEPLOYMENTS, "d", namespace="lab")
        authorizer.forget_use()
        assert describe(authorizer.unused(NARROW)) == ["get deployments.apps in lab"]
