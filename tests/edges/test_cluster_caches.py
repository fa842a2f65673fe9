"""Caches follow their watch, hold what was just written against older news, and are small."""

import base64
import gc
import json
import subprocess
import sys
from types import FunctionType, ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.edges.cluster_script import Request, content, eventually, page, scripted
from webhook.cluster.caches import Caches, NamespaceCache, SecretCache, ServiceAccountCache, later
from webhook.cluster.objects import PullSecrets
from webhook.core.copies import Secret
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY
from webhook.core.scope import Namespace


def secret(version: int | str, namespace: str = "a", payload: bytes = b"{}") -> Secret:
    return Secret(namespace=namespace, payload=payload, uid="u", resource_version=str(version))


def listed(*secrets: Secret, version: int) -> SecretCache:
    cache = SecretCache()
    cache.replace([(each.namespace, each) for each in secrets], str(version))
    return cache


@pytest.mark.parametrize(
    ("version", "than", "answer"),
    [("10", "9", True), ("9", "10", False), ("9", "9", False), ("x", "9", False), ("9", "x", False), ("9", "", False)],
)
def test_only_decimal_versions_are_certainly_later(version: str, than: str, answer: bool) -> None:
    assert later(version, than) is answer


def test_what_was_just_written_is_there_before_the_watch_reports_of_it() -> None:
    cache = listed(version=5)
    cache.observe(secret(7))
    assert cache.get("a") == secret(7)


def test_an_older_event_does_not_take_back_what_was_just_written() -> None:
    cache = listed(secret(4), version=5)
    cache.observe(secret(8, payload=b"new"))
    cache.apply(("a", secret(6)), "6", deleted=False)
    cache.apply(("a", secret(7)), "7", deleted=True)
    assert cache.get("a") == secret(8, payload=b"new")


def test_once_the_watch_has_caught_up_it_has_the_last_word() -> None:
    cache = listed(version=5)
    cache.observe(secret(8))
    cache.apply(("a", secret(8)), "8", deleted=False)
    cache.apply(("a", secret(9)), "9", deleted=True)
    assert cache.get("a") is None


def test_a_write_that_the_watch_is_past_already_brings_nothing_back() -> None:
    """Made at 7 and deleted at 8 by somebody else, before the writer came round to tell."""
    cache = listed(version=5)
    cache.apply(("a", secret(7)), "7", deleted=False)
    cache.apply(("a", secret(8)), "8", deleted=True)
    cache.observe(secret(7))
    assert cache.get("a") is None


def test_of_two_writes_the_later_stays_whichever_is_reported_first() -> None:
    cache = listed(version=5)
    cache.observe(secret(9))
    cache.observe(secret(8))
    assert cache.get("a") == secret(9)


def test_a_list_keeps_only_what_was_written_after_it() -> None:
    cache = listed(secret(1, "gone"), version=5)
    cache.observe(secret(8, "before"))
    cache.observe(secret(12, "after"))
    cache.replace([("there", secret(3, "there"))], "10")
    assert set(cache.snapshot()) == {"there", "after"}


def test_after_the_history_was_set_back_a_list_is_believed() -> None:
    """A restore of etcd gives lower resourceVersions than those we know."""
    cache = listed(secret(900), secret(901, "b"), version=1000)
    cache.replace([("a", secret(90))], "100")
    assert cache.snapshot() == {"a": secret(90)}


def test_what_the_watch_has_confirmed_is_not_held_against_a_history_that_was_set_back() -> None:
    cache = listed(version=5)
    cache.observe(secret(8))
    cache.apply(("a", secret(8)), "8", deleted=False)
    cache.replace([], "3")
    assert cache.get("a") is None


@pytest.mark.parametrize("odd", [secret(""), Secret(namespace="a", name="other", resource_version="9")])
def test_what_a_dry_run_made_or_has_another_name_is_not_taken(odd: Secret) -> None:
    cache = listed(version=5)
    cache.observe(odd)
    assert len(cache) == 0


def test_without_comparable_versions_only_the_watch_is_believed() -> None:
    cache = SecretCache()
    cache.replace([("a", secret("opaque-1"))], "opaque-2")
    cache.observe(secret("opaque-3", payload=b"written"))
    assert cache.get("a") == secret("opaque-1")
    cache.apply(("a", secret("opaque-0", payload=b"told")), "opaque-0", deleted=False)
    assert cache.get("a") == secret("opaque-0", payload=b"told")


def test_listeners_hear_of_each_change_once_with_old_and_new() -> None:
    cache = listed(secret(1), secret(2, "b"), version=5)
    heard: list[tuple[str, Secret | None, Secret | None]] = []
    cache.on_change(lambda key, old, new: heard.append((key, old, new)))
    cache.replace([("a", secret(1)), ("c", secret(6, "c"))], "6")
    assert sorted(heard, key=str) == sorted([("b", secret(2, "b"), None), ("c", None, secret(6, "c"))], key=str)
    heard.clear()
    cache.apply(("a", secret(7)), "7", deleted=False)
    cache.apply(("a", secret(7)), "7", deleted=False)
    cache.apply(("a", secret(8)), "8", deleted=True)
    cache.observe(secret(9))
    assert heard == [("a", secret(1), secret(7)), ("a", secret(7), None), ("a", None, secret(9))]


def test_a_change_of_what_is_not_kept_is_no_change() -> None:
    cache = NamespaceCache()
    heard: list[str] = []
    cache.on_change(lambda key, old, new: heard.append(key))
    for version in ("1", "2"):
        cache.apply(cache.decode(content(namespace("a", other=version))), version, deleted=False)
    assert heard == ["a"]


def test_a_listener_that_fails_keeps_nothing_from_the_others() -> None:
    cache = SecretCache()
    heard: list[str] = []

    def fail(key: str, old: Secret | None, new: Secret | None) -> None:
        raise RuntimeError(key)

    cache.on_change(fail)
    cache.on_change(lambda key, old, new: heard.append(key))
    with capture_logs() as logs:
        cache.apply(("a", secret(1)), "1", deleted=False)
    assert heard == ["a"]
    assert [log["event"] for log in logs] == ["listener_failed"]


def namespace(name: str, phase: str = "Active", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}


def test_a_namespace_is_its_two_labels_and_whether_it_is_going() -> None:
    obj = namespace("a", other="x") | {
        "metadata": {"name": "a", "labels": {INJECT_KEY: "false", ENFORCE_LABEL: "warn"}}
    }
    assert NamespaceCache.decode(content(obj)) == ("a", Namespace(name="a", inject="false", enforce="warn"))
    assert NamespaceCache.decode(content({"metadata": {"name": "a"}})) == ("a", Namespace(name="a"))
    assert NamespaceCache.decode(content(namespace("a", "Terminating")))[1].terminating
    assert NamespaceCache.decode(content({"metadata": {"name": "a", "deletionTimestamp": "now"}}))[1].terminating


def test_a_service_account_is_the_names_of_its_pull_secrets() -> None:
    metadata = {"namespace": "a", "name": "default"}
    assert ServiceAccountCache.decode(content({"metadata": metadata})) == (("a", "default"), PullSecrets())
    obj = {"metadata": metadata, "imagePullSecrets": [{"name": "x"}, {}, {"name": ""}, {"name": "y"}]}
    assert ServiceAccountCache.decode(content(obj)) == (("a", "default"), PullSecrets(("x", "y")))


def raw_secret(namespace: str, payload: bytes, version: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "ghcr-secret",
            "namespace": namespace,
            "uid": f"00000000-0000-0000-0000-{version:012}",
            "resourceVersion": str(version),
            "labels": {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"},
            "annotations": {"ghcr-pull-secrets.io/source": "ghcr/ghcr-secret"},
        },
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(payload).decode()},
    }


def test_equal_copies_share_payload_and_marks() -> None:
    cache = SecretCache()
    one, two = (cache.decode(content(raw_secret(name, b'{"auths":{}}', 1)))[1] for name in ("a", "b"))
    assert one.payload is two.payload
    assert one.marks is two.marks
    assert one.marks == {
        "app.kubernetes.io/managed-by": "ghcr-pull-secrets",
        "ghcr-pull-secrets.io/source": "ghcr/ghcr-secret",
    }


def test_a_huge_payload_is_not_kept_for_sharing() -> None:
    cache = SecretCache()
    for name in ("a", "b"):
        cache.decode(content(raw_secret(name, name.encode() * 50_000, 1)))
    gc.collect()
    assert not any(isinstance(each, bytes) and len(each) == 50_000 for each in reachable(cache))


def reachable(root: object) -> list[object]:
    """List what the cache holds on to; `lru_cache` shows its entries to the garbage collector."""
    found: dict[int, object] = {}
    todo = [root]
    while todo:
        each = todo.pop()
        if id(each) in found or isinstance(each, type | ModuleType | FunctionType):
            continue
        found[id(each)] = each
        todo.extend(gc.get_referents(each))
    return list(found.values())


MEASURE = """
import json, sys
from webhook.cluster.caches import NamespaceCache, SecretCache, ServiceAccountCache
from tests.edges.test_cluster_caches import raw_secret, namespace

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

payload = b'{"auths":{"ghcr.io":{"auth":"' + b"x" * 200 + b'"}}}'
caches = SecretCache(), NamespaceCache(), ServiceAccountCache()
before = resident()
for start in range(0, 10_000, 500):
    for kind, cache in zip("sna", caches):
        page = [
            raw_secret(f"team-{i}", payload, i) if kind == "s"
            else namespace(f"team-{i}") if kind == "n"
            else {"metadata": {"namespace": f"team-{i}", "name": "default"}}
            for i in range(start, start + 500)
        ]
        for obj in page:
            item = cache.decode(json.dumps(obj).encode())
            cache._items[item[0]] = item[1]
print(json.dumps({"caches": resident() - before, "sizes": [len(cache) for cache in caches]}))
"""


@pytest.mark.slow
def test_ten_thousand_of_each_fit_in_a_few_megabytes() -> None:
    """Budget: 150 MB for the server; its imports take some 60. This is what is left to the caches at most."""
    if sys.platform != "linux":
        return
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=60)
    measured = json.loads(done.stdout)
    assert measured["sizes"] == [10_000] * 3
    assert measured["caches"] < 25e6


def test_three_watches_fill_the_caches_and_stop_together() -> None:
    def answer(request: Request) -> None:
        if request.is_watch:
            request.begin()
            script.stopping.wait(30)
            return
        items = {
            "/api/v1/secrets": [raw_secret("a", b"{}", 3)],
            "/api/v1/namespaces": [namespace("a")],
            "/api/v1/serviceaccounts": [{"metadata": {"namespace": "a", "name": "default"}}],
        }[request.path]
        request.json(page(*items, version=5))

    with scripted(answer) as script:
        caches = Caches(script.client())
        assert not caches.synced()
        assert [health.synced for health in caches.health()] == [False] * 3
        caches.start()
        eventually(caches.synced)
        assert (len(caches.secrets), len(caches.namespaces), len(caches.service_accounts)) == (1, 1, 1)
        assert [health.resource for health in caches.health()] == ["secrets", "namespaces", "serviceaccounts"]
        selectors = {request.path: request.query.get("fieldSelector") for request in script.requests}
        assert selectors == {
            "/api/v1/secrets": "metadata.name=ghcr-secret",
            "/api/v1/namespaces": None,
            "/api/v1/serviceaccounts": None,
        }
        eventually(lambda: len(script.watches()) == 3)
        caches.stop()
