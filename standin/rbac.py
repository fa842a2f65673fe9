"""RBAC from the Roles, ClusterRoles and their bindings in the store, with a record of what each user used.

Semantics: https://kubernetes.io/docs/reference/access-authn-authz/rbac/. `resourceNames` limit a request that has a
name: list, watch and deletecollection have one through `fieldSelector=metadata.name=...`, create has none (recorded:
"list secrets by name, allowed through resourceNames").
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standin.interfaces import Json, ResourceInfo, Store, User

GROUP = "rbac.authorization.k8s.io"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
SUPERUSERS = "system:masters"

_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_PUBLIC_PATHS)
# The part of the bootstrap policy a client of this server can meet: system:discovery, system:public-info-viewer and
# system:basic-user, by group.
_BUILT_IN: tuple[tuple[str, Json], ...] = (
    (AUTHENTICATED, {"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY_PATHS)}),
    (UNAUTHENTICATED, {"verbs": ["get"], "nonResourceURLs": list(_PUBLIC_PATHS)}),
    (
        AUTHENTICATED,
        {
            "verbs": ["create"],
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One atom of a rule in force for a subject: the unit in which "granted" and "used" are compared.

    Attributes:
        verb: A verb or ``*``.
        group: API group; empty for core; ``*`` for any.
        resource: ``plural``, ``plural/subresource`` or ``*``; empty for a path.
        resource_name: The name the grant is limited to, or empty.
        namespace: Where it holds; empty for the entire cluster.
        path: The nonResourceURL, or empty.
    """

    verb: str
    group: str = ""
    resource: str = ""
    resource_name: str = ""
    namespace: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    verb: str
    resource: ResourceInfo | None
    subresource: str
    namespace: str
    name: str
    path: str


class RbacAuthorizer:
    """Decides from what is in the store now; an implementation of `interfaces.Authorizer`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._used: dict[str, set[Grant]] = {}

    def authorize(  # noqa: PLR0917 - the Protocol of the core has this signature
        self,
        user: User,
        verb: str,
        resource: ResourceInfo | None,
        subresource: str,
        namespace: str,
        name: str,
        path: str,
    ) -> str | None:
        """Return None when allowed, else an empty string: RBAC has nothing to add to the refusal."""
        if SUPERUSERS in user.groups:
            return None
        request = _Request(
            verb=verb, resource=resource, subresource=subresource, namespace=namespace, name=name, path=path
        )
        for grant in self._grants(user, namespace):
            if _covers(grant, request):
                with self._lock:
                    self._used.setdefault(user.name, set()).add(grant)
                return None
        if any(
            _covers(grant, request) for group, rule in _BUILT_IN if group in user.groups for grant in _split(rule, "")
        ):
            return None
        return ""

    def granted(self, user: User) -> frozenset[Grant]:
        """Return what bindings in the store give `user` in any namespace, atom by atom."""
        return frozenset(self._grants(user, None))

    def used(self, user_name: str) -> frozenset[Grant]:
        """Return the grants that allowed a request of the user since the start or the last `forget_use`.

        A request counts for the first grant that covers it, those with a name before those without.
        """
        with self._lock:
            return frozenset(self._used.get(user_name, ()))

    def unused(self, user: User) -> frozenset[Grant]:
        """Return what `user` was given and never needed."""
        return self.granted(user) - self.used(user.name)

    def forget_use(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._used.clear()

    def _grants(self, user: User, namespace: str | None) -> Iterator[Grant]:
        """Yield the user's grants; of one namespace and the cluster, or of all namespaces if it is None."""
        found = [
            grant
            for binding in self._store.list(f"clusterrolebindings.{GROUP}")
            if _binds(binding, user, "")
            for rule in self._rules(binding["roleRef"], "")
            for grant in _split(rule, "")
        ]
        if namespace != "":
            for binding in self._store.list(f"rolebindings.{GROUP}", namespace):
                where = binding["metadata"]["namespace"]
                if _binds(binding, user, where):
                    for rule in self._rules(binding["roleRef"], where):
                        found += [grant for grant in _split(rule, where) if not grant.path]
        # The narrowest first, so that `used` names the grant that would have done.
        return iter(sorted(found, key=lambda grant: (not grant.resource_name, not grant.namespace, "*" in grant.verb)))

    def _rules(self, reference: Json, namespace: str) -> list[Json]:
        if reference["kind"] == "ClusterRole":
            role = self._store.get(f"clusterroles.{GROUP}", "", reference["name"])
        else:
            role = self._store.get(f"roles.{GROUP}", namespace, reference["name"])
        return list((role or {}).get("rules") or ())


def _binds(binding: Json, user: User, namespace: str) -> bool:
    return any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is_subject(subject: Json, user: User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"
        case _:
            return False


def _split(rule: Json, namespace: str) -> Iterator[Grant]:
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield Grant(verb=verb, path=path)
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or ("",):
                    yield Grant(verb=verb, group=group, resource=resource, resource_name=name, namespace=namespace)


def _covers(grant: Grant, request: _Request) -> bool:
    if grant.verb not in {"*", request.verb}:
        return False
    if request.resource is None:
        return bool(grant.path) and _path_matches(grant.path, request.path)
    if grant.path:
        return False
    return (
        grant.group in {"*", request.resource.group}
        and _resource_matches(grant.resource, request.resource.plural, request.subresource)
        and grant.resource_name in {"", request.name}
    )


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern.rstrip("*"))
    return pattern == path


def _resource_matches(entry: str, plural: str, subresource: str) -> bool:
    wanted = f"{plural}/{subresource}" if subresource else plural
    if entry in {"*", wanted}:
        return True
    # "*/scale" stands for one subresource of every resource; "pods/*" stands for nothing.
    return bool(subresource) and entry == f"*/{subresource}"


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """Return the user and groups a ServiceAccount's token stands for."""
    groups: tuple[str, ...] = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(name=f"system:serviceaccount:{namespace}:{name}", groups=groups, uid=uid)


def describe(grants: frozenset[Grant]) -> list[str]:
    """Word grants for a test's message, sorted."""
    return sorted(_word(grant) for grant in grants)


def _word(grant: Grant) -> str:
    if grant.path:
        return f"{grant.verb} {grant.path}"
    parts: list[Any] = [grant.verb, grant.resource + (f".{grant.group}" if grant.group else "")]
    if grant.resource_name:
        parts.append(f"named {grant.resource_name}")
    if grant.namespace:
        parts.append(f"in {grant.namespace}")
    return " ".join(parts)
