"""Who a request comes from, and whether they may."""

from standin import errors, selectors
from standin.auth import ANONYMOUS, Tokens, service_account, user_of_certificate
from standin.connection import HttpRequest, Subject
from standin.errors import ApiError
from standin.interfaces import ResourceInfo, User
from standin.reviews import Authorize
from standin.routing import Route

_ACCOUNT = "system:serviceaccount:"
_USERS = ResourceInfo(
    group="", version="v1", plural="users", kind="User", singular="user", namespaced=False, verbs=("impersonate",)
)


class Access:
    """Authenticates and authorizes requests; what it refuses is added to `refusals`."""

    def __init__(self, tokens: Tokens, authorize: Authorize, refusals: set[str]) -> None:
        self._tokens = tokens
        self._authorize = authorize
        self._refusals = refusals

    def user(self, request: HttpRequest, subject: Subject) -> User:
        """Return who asks: by bearer token, else client certificate, else anonymous. Raises ApiError(401, 403)."""
        authorization = request.headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            user = self._tokens.user(token.strip()) if scheme.lower() == "bearer" else None
            if user is None:
                raise errors.unauthorized()
        else:
            user = user_of_certificate(subject) if subject else ANONYMOUS
        return self._impersonated(request, user)

    def _impersonated(self, request: HttpRequest, user: User) -> User:
        """Return the user that `kubectl --as` names, if this one may act as others."""
        name = request.headers.get("impersonate-user")
        if not name:
            return user
        if self._authorize(user, "impersonate", resource=_USERS, name=name) is not None:
            text = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
            raise errors.forbidden("users", "", name, text)
        if name.startswith(_ACCOUNT):
            namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
            return service_account(namespace, account)
        groups = tuple(filter(None, request.headers.get("impersonate-group", "").split(",")))
        return User(name=name, groups=(*groups, "system:authenticated"))

    def check(self, asked: Route, user: User) -> None:
        """Raise ApiError(403) unless the user may do what is asked."""
        resource, name = asked.resource, asked.name
        if resource is not None and asked.verb in {"list", "watch", "deletecollection"}:
            name = name or selectors.selected_name(selectors.field_terms(asked.query.get("fieldSelector", "")))
        why = self._authorize(
            user, asked.verb, resource=resource, subresource=asked.subresource, namespace=asked.namespace, name=name,
            path=asked.path,
        )  # fmt: skip
        if why is None:
            return
        suffix = f": {why}" if why else ""
        if resource is None:
            text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"{suffix}'
            self._refusals.add(text)
            raise ApiError(403, "Forbidden", text, {})
        full = f"{resource.plural}/{asked.subresource}" if asked.subresource else resource.plural
        scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        text = (
            f'User "{user.name}" cannot {asked.verb} resource "{full}" in API group "{resource.group}" {scope}{suffix}'
        )
        self._refusals.add(text)
        raise errors.forbidden(resource.plural, resource.group, asked.name, text)
