"""JSON Patch operations that append pull secrets to pod specs."""

from collections.abc import Iterable, Sequence

from webhook.core.display import escaped
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


def _pointer(tokens: Iterable[str | int]) -> str:
    return "".join(f"/{escaped(str(token))}" for token in tokens)
