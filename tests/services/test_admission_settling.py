"""Since when a namespace's copy has been as it is."""

import pytest

from webhook import admission
from webhook.admission import SETTLED_S, Settling


def test_a_version_is_settled_after_a_while_and_another_one_begins_again() -> None:
    now = 0.0
    subject = Settling(lambda: now)
    assert not subject.settled("a", "x")
    now = SETTLED_S - 0.1
    assert not subject.settled("a", "x")
    now = SETTLED_S
    assert subject.settled("a", "x")
    assert not subject.settled("b", "x")
    assert not subject.settled("a", "y")
    assert not subject.settled("a", "x")


def test_of_too_many_namespaces_those_asked_about_longest_ago_begin_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST_NAMESPACES", 2)
    now = 0.0
    subject = Settling(lambda: now)
    for name in ("a", "b", "a", "c"):
        subject.settled(name, "x")
    now = SETTLED_S
    assert subject.settled("a", "x")
    assert not subject.settled("b", "x")
