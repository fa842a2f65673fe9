"""API requests as data: verb, resource, scope and path."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from webhook.failures import ConnectionFailure
from webhook.ports import ClusterError, NotFound

CORE_V1: Final = "/api/v1"

# Any name the API server could have accepted (RBAC names may hold a colon), and no dot segment: names come from other
# people's Pods and end up in our path.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._:]{0,251}[A-Za-z0-9])?")


class Verb(StrEnum):
    """RBAC's words for what can be asked."""

    GET = "get"
    LIST = "list"
    WATCH = "watch"
    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"

    @property
    def method(self) -> str:
        """The HTTP method of it."""
        return _METHODS.get(self, "GET")


_METHODS: Final = {Verb.CREATE: "POST", Verb.PATCH: "PATCH", Verb.DELETE: "DELETE"}


class PatchType(StrEnum):
    """Media types of a PATCH."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing asked.

    Attributes:
        verb: What.
        resource: Plural name, such as `secrets`.
        namespace: Empty for all namespaces or a resource without.
        name: Empty for a list, a watch or a create.
        about: Name of the object a create makes; for errors only, as it is no part of the path.
        api: Path of the API group and version.
        subresource: Of the object named, such as `scale`.
    """

    verb: Verb
    resource: str
    namespace: str = ""
    name: str = ""
    about: str = ""
    api: str = CORE_V1
    subresource: str = ""

    @property
    def path(self) -> str:
        """The URL's path.

        Raises:
            NotFound: No object can have such a name, so there is nothing to ask.
        """
        segments = ["namespaces", self.namespace] if self.namespace else []
        segments.append(self.resource)
        if self.name or self.verb in _NEEDS_A_NAME:
            segments.append(self.name)
        if self.subresource:
            segments.append(self.subresource)
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise self.error(NotFound)
        return "/".join([self.api, *(quote(segment, safe=":") for segment in segments)])

    def error(
        self,
        kind: type[ClusterError],
        *,
        code: int = 0,
        retry_after: float = 0,
        failure: ConnectionFailure | None = None,
    ) -> ClusterError:
        """Make the error of that kind about this."""
        return kind(
            self.verb,
            self.resource,
            self.namespace,
            self.name or self.about,
            code=code,
            retry_after=retry_after,
            failure=failure,
        )


_NEEDS_A_NAME: Final = frozenset({Verb.GET, Verb.PATCH, Verb.DELETE})
