"""JSON Patch operations that append pull secrets to pod specs."""

import functools
from collections.abc import Sequence

from webhook.core.review import Json
from webhook.core.workloads import Workload


def append_pull_secrets(workload: Workload, names: Sequence[str]) -> tuple[Json, ...]:
    """Append names to `imagePullSecrets`, after whatever is there.

    An absent or null list is added whole. A list that is there, even an empty one, is appended to: a Pod's list holds
    what the API server has copied from its ServiceAccount, and replacing it would throw those secrets away.
    """
    if not names:
        return ()
    path = _pointer((*workload.spec_path, "imagePullSecrets"))
    if workload.listed is None:
        return ({"op": "add", "path": path, "value": [{"name": name} for name in names]},)
    return tuple({"op": "add", "path": f"{path}/-", "value": {"name": name}} for name in names)


@functools.lru_cache(maxsize=64)  # there are as many paths as kinds
def _pointer(tokens: tuple[str, ...]) -> str:
    return "/" + "/".join(_escape(token) for token in tokens)


def _escape(token: str) -> str:
    # RFC 6901, section 3.
    return token.replace("~", "~0").replace("/", "~1")
