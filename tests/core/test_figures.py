"""The figures about copies."""

from dataclasses import replace

from tests.objects import RELEASE_NAMESPACE, RULES, payload, secret
from webhook.core.figures import CopyFigures, count_copies

CENTRAL = secret(RELEASE_NAMESPACE)
OLD = payload(token="token-of-before")


def test_ours_and_foreign_are_counted_and_the_central_one_is_neither() -> None:
    found = {RELEASE_NAMESPACE: CENTRAL, "a": secret("a", ours=True), "b": secret("b"), "c": secret("c", ours=True)}

    assert count_copies(found, RULES) == CopyFigures(ours=2, foreign=1, other_release=0, stale=0)


def test_a_copy_with_other_content_is_stale_and_a_foreign_one_never() -> None:
    found = {
        RELEASE_NAMESPACE: CENTRAL,
        "a": secret("a", ours=True, payload=OLD),
        "b": secret("b", payload=OLD),
        "c": secret("c", ours=True),
    }

    assert count_copies(found, RULES) == CopyFigures(ours=2, foreign=1, other_release=0, stale=1)


def test_a_copy_in_a_namespace_that_is_never_touched_is_not_stale() -> None:
    found = {RELEASE_NAMESPACE: CENTRAL, "a": secret("a", ours=True, payload=OLD)}

    assert count_copies(found, replace(RULES, excluded=frozenset({"a"}))) == CopyFigures(
        ours=1, foreign=0, other_release=0, stale=0
    )


def test_nothing_is_stale_while_there_is_nothing_to_spread() -> None:
    copy = secret("a", ours=True, payload=OLD)

    assert count_copies({"a": copy}, RULES).stale == 0
    assert count_copies({RELEASE_NAMESPACE: replace(CENTRAL, payload=b"{}"), "a": copy}, RULES).stale == 0
