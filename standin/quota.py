"""The ResourceQuota admission plugin, for counts of objects."""

from standin import errors
from standin.interfaces import Json, ResourceInfo
from standin.store import MemoryStore

# Names of quota older than `count/...`.
_SHORT = frozenset(
    {"configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services"}
)


def _quantity(value: object) -> int:
    text = str(value)
    return int(float(text[:-1]) * 1000) if text.endswith("k") else int(float(text))


def _names(resource: ResourceInfo) -> tuple[str, ...]:
    counted = f"count/{resource.key}"
    return (resource.plural, counted) if not resource.group and resource.plural in _SHORT else (counted,)


def check_create(store: MemoryStore, resource: ResourceInfo, namespace: str, name: str) -> None:
    """Refuse (403) what would exceed a quota. The caller holds the store's lock."""
    if not namespace or not store.count("resourcequotas", namespace):
        return
    used = store.count(resource.key, namespace)
    for quota in store.list("resourcequotas", namespace):
        hard: Json = (quota.get("spec") or {}).get("hard") or {}
        for counted in _names(resource):
            if counted in hard and used + 1 > _quantity(hard[counted]):
                why = (
                    f"exceeded quota: {quota['metadata']['name']}, requested: {counted}=1, "
                    f"used: {counted}={used}, limited: {counted}={hard[counted]}"
                )
                raise errors.forbidden(resource.plural, resource.group, name, why)
