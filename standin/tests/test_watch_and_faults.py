"""Watches, faults, restarts, and who may ask."""

import itertools
import time
from http.client import HTTPException

import pytest

from standin import ApiServer, Match
from standin.interfaces import User
from standin.tests.http import MERGE, SECRETS, Http, secret

WATCH = f"{SECRETS}?watch=1"
# What a client sees of a connection that is cut: which, depends on what it was doing.
CUT = (ConnectionError, HTTPException)


def test_a_watch_shows_an_object_that_ceases_to_be_selected_as_deleted(api: ApiServer, http: Http) -> None:
    api.admin.create("secrets", "app", secret("s", labels={"l": "x"}))
    events = http.watch(f"{WATCH}&labelSelector=l%3Dx&timeoutSeconds=10")
    assert next(events)["type"] == "ADDED"
    api.admin.patch("secrets", "app", "s", {"metadata": {"labels": {"l": "y"}}})
    assert next(events)["type"] == "DELETED"
    api.admin.patch("secrets", "app", "s", {"metadata": {"labels": {"l": "x"}}})
    assert next(events)["type"] == "ADDED"


def test_a_watch_from_before_the_history_is_gone(api: ApiServer, http: Http) -> None:
    old = api.store.revision
    api.admin.create("secrets", "app", secret("s"))
    api.expire_history()
    (event,) = http.watch(f"{WATCH}&resourceVersion={old}&timeoutSeconds=5")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_the_history_has_a_limit() -> None:
    with ApiServer(controllers=None, history_limit=5) as api:
        first = api.store.revision
        for number in range(8):
            api.admin.create("secrets", "default", secret(f"s{number}"))
        client = Http(api)
        event = next(client.watch(f"/api/v1/secrets?watch=1&resourceVersion={first}&timeoutSeconds=5"))
        client.close()
    assert event["type"] == "ERROR"


def test_initial_events_end_with_a_marked_bookmark(api: ApiServer, http: Http) -> None:
    api.admin.create("secrets", "app", secret("s"))
    query = "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=5"
    events = list(itertools.islice(http.watch(WATCH + query), 2))
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_bookmarks_come_as_often_as_told(api: ApiServer, http: Http) -> None:
    api.set_bookmark_period(0.05)
    events = list(itertools.islice(http.watch(f"{WATCH}&allowWatchBookmarks=true&timeoutSeconds=10"), 3))
    assert {event["type"] for event in events} == {"BOOKMARK"}


def test_an_error_answers_as_often_as_told(api: ApiServer, http: Http) -> None:
    api.faults.add(
        match=Match(verb="list", resource="secrets"), status=503, reason="ServiceUnavailable", retry_after=2, times=2
    )
    answers = [http.send("GET", SECRETS)[0] for _ in range(3)]
    assert answers == [503, 503, 200]


def test_an_error_names_when_to_come_back(api: ApiServer, http: Http) -> None:
    api.faults.add(status=429, reason="TooManyRequests", retry_after=3)
    status, answer = http.send("GET", SECRETS)
    assert (status, answer["details"]["retryAfterSeconds"], http.headers["retry-after"]) == (429, 3, "3")


def test_a_conflict_can_be_made(api: ApiServer, http: Http) -> None:
    api.admin.create("secrets", "app", secret("s"))
    api.faults.add(match=Match(verb="patch"), conflict=True, times=1)
    patch = {"metadata": {"labels": {"a": "b"}}}
    assert [http.send("PATCH", f"{SECRETS}/s", patch, MERGE)[0] for _ in range(2)] == [409, 200]


def test_a_write_can_succeed_and_its_answer_be_lost(api: ApiServer, http: Http) -> None:
    api.faults.add(match=Match(verb="create"), reset=True, after=True, times=1)
    with pytest.raises(CUT):
        http.send("POST", SECRETS, secret("s"))
    assert api.store.get("secrets", "app", "s") is not None


def test_latency_delays_only_what_matches(api: ApiServer, http: Http) -> None:
    api.faults.add(match=Match(name="slow"), latency_s=0.3)
    start = time.monotonic()
    http.send("GET", f"{SECRETS}/slow")
    assert time.monotonic() - start >= 0.3
    start = time.monotonic()
    http.send("GET", f"{SECRETS}/fast")
    assert time.monotonic() - start < 0.3


def test_a_running_watch_can_be_cut(api: ApiServer, http: Http) -> None:
    events = http.watch(f"{WATCH}&timeoutSeconds=30")
    api.faults.add(match=Match(verb="watch"), reset=True)
    with pytest.raises(CUT):
        next(events)


def test_a_half_open_watch_sends_nothing_and_closes_nothing(api: ApiServer) -> None:
    client = Http(api)
    client._connection.timeout = 2
    events = client.watch(f"{WATCH}&timeoutSeconds=30")
    api.admin.create("secrets", "app", secret("one"))
    assert next(events)["object"]["metadata"]["name"] == "one"
    api.faults.add(match=Match(verb="watch"), half_open=True)
    api.admin.create("secrets", "app", secret("two"))
    with pytest.raises(TimeoutError):
        next(events)
    client.close()


def test_gone_reaches_a_watch_as_an_event(api: ApiServer, http: Http) -> None:
    api.faults.add(match=Match(verb="watch"), gone=True, times=1)
    (event,) = http.watch(f"{WATCH}&resourceVersion=5&timeoutSeconds=5")
    assert event["object"]["code"] == 410


def test_probability_draws(api: ApiServer, http: Http) -> None:
    api.faults.add(match=Match(verb="list"), status=500, probability=0.5)
    answers = [http.send("GET", SECRETS)[0] for _ in range(40)]
    assert 5 < answers.count(500) < 35
    api.faults.clear()
    assert http.send("GET", SECRETS)[0] == 200


def test_a_restart_keeps_port_and_state(api: ApiServer) -> None:
    api.admin.create("secrets", "app", secret("s"))
    port, before = api.port, Http(api)
    before.ok("GET", SECRETS)
    with api.restarting(), pytest.raises(CUT):
        before.send("GET", SECRETS)
    before.close()
    after = Http(api)
    assert (api.port, len(after.ok("GET", SECRETS)["items"])) == (port, 1)
    after.close()


def test_an_expired_token_is_refused(api: ApiServer) -> None:
    client = Http(api, api.token_for("app", "robot", life_s=-1))
    assert client.send("GET", SECRETS)[0] == 401
    client.close()


def test_a_token_ends_with_its_account(api: ApiServer) -> None:
    client = Http(api, api.token_for("app", "robot"))
    assert client.send("GET", SECRETS)[0] == 403
    api.admin.delete("serviceaccounts", "app", "robot")
    assert client.send("GET", SECRETS)[0] == 401
    client.close()


def test_a_forged_token_is_refused(api: ApiServer) -> None:
    token = api.token_for("app", "robot")
    client = Http(api, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"))
    assert client.send("GET", SECRETS)[0] == 401
    client.close()


def test_the_log_says_which_permissions_a_user_used(api: ApiServer) -> None:
    robot = User(name="robot", groups=("system:masters",))
    client = Http(api, api.token_of(robot))
    client.ok("POST", SECRETS, secret("s"))
    client.ok("GET", f"{SECRETS}/s")
    client.ok("GET", f"{SECRETS}/s")
    client.close()
    assert api.requests.permissions_used("robot") == {("create", "secrets"): 1, ("get", "secrets"): 2}
    assert "Yg==" not in repr(list(api.requests))
