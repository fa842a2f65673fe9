"""Reviews of access and identity: questions that are answered and not stored."""

from standin.auth import MASTERS, Tokens
from standin.interfaces import Authorizer, Json, ResourceInfo, User
from standin.resources import ResourceTable


class Authorize:
    """The authorizer behind the rule that `system:masters` may do everything."""

    def __init__(self, authorizer: Authorizer | None) -> None:
        self.authorizer = authorizer

    def __call__(
        self,
        user: User,
        verb: str,
        *,
        resource: ResourceInfo | None = None,
        subresource: str = "",
        namespace: str = "",
        name: str = "",
        path: str = "",
    ) -> str | None:
        """Return None when allowed, else the authorizer's text."""
        if MASTERS in user.groups or self.authorizer is None:
            return None
        return self.authorizer.authorize(
            user, verb, resource=resource, subresource=subresource, namespace=namespace, name=name, path=path
        )


class Reviews:
    """Serves the reviews of authorization.k8s.io and authentication.k8s.io: nothing of them is stored."""

    def __init__(self, table: ResourceTable, tokens: Tokens, authorize: Authorize) -> None:
        self._table = table
        self._tokens = tokens
        self._authorize = authorize

    def answer(self, user: User, resource: ResourceInfo, body: Json) -> Json:
        """Return a review with its status."""
        spec = body.get("spec") or {}
        base = {
            **body,
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": body.get("metadata") or {},
        }
        match resource.kind:
            case "SelfSubjectAccessReview":
                return {**base, "status": self._access(user, spec)}
            case "SubjectAccessReview" | "LocalSubjectAccessReview":
                asked = User(name=spec.get("user", ""), groups=tuple(spec.get("groups") or ()))
                return {**base, "status": self._access(asked, spec)}
            case "SelfSubjectReview":
                return {**base, "status": {"userInfo": _info(user)}}
            case "TokenReview":
                found = self._tokens.user(spec.get("token", ""))
                return {
                    **base,
                    "status": {"authenticated": found is not None, **({"user": _info(found)} if found else {})},
                }
            case _:
                rules = {"resourceRules": [], "nonResourceRules": [], "incomplete": True}
                return {**base, "status": rules}

    def _access(self, user: User, spec: Json) -> Json:
        asked = spec.get("resourceAttributes")
        if asked is None:
            asked = spec.get("nonResourceAttributes") or {}
            why = self._authorize(user, asked.get("verb", "get"), path=asked.get("path", ""))
        else:
            group, plural = asked.get("group", ""), asked.get("resource", "")
            why = self._authorize(
                user,
                asked.get("verb", ""),
                resource=self._table.by_name(group, plural) or _unknown(group, plural),
                subresource=asked.get("subresource", ""),
                namespace=asked.get("namespace", ""),
                name=asked.get("name", ""),
            )
        return {"allowed": why is None, **({"reason": why} if why else {})}


def _unknown(group: str, plural: str) -> ResourceInfo:
    return ResourceInfo(
        group=group, version="v1", plural=plural, kind=plural, singular=plural, namespaced=True, verbs=()
    )


def _info(user: User) -> Json:
    return {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}
