"""Pull secrets that may be named to an unauthenticated caller."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from webhook.core.judging import Verdict
from webhook.core.names import SECRET_NAME

UNNAMED: Final = "(a pull secret of its ServiceAccount)"
"""In place of a name; no Secret can have it."""


def discreet(verdict: Verdict, named: Collection[str]) -> Verdict:
    """Take the names of Secrets out of a verdict that its reader may not know.

    Args:
        verdict: Of a review.
        named: Names that the reviewed object lists itself. The others come from its ServiceAccount, and anybody can
            send a review of an object that uses it.
    """

    def known(name: str) -> bool:
        return not name or name == SECRET_NAME or name in named

    problems = tuple(
        problem if known(problem.secret) else replace(problem, secret=UNNAMED, found=None)
        for problem in verdict.problems
    )
    unverifiable = tuple(dict.fromkeys(name if known(name) else UNNAMED for name in verdict.unverifiable))
    return replace(verdict, problems=problems, unverifiable=unverifiable)
