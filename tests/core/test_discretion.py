"""Names of Secrets that a caller is not told of."""

from tests.objects import secret
from webhook.core.discretion import UNNAMED, discreet
from webhook.core.judging import Problem, Verdict
from webhook.core.vocabulary import Reason


def verdict(*names: str) -> Verdict:
    problems = tuple(
        Problem(reason=Reason.WRONG_TYPE, image=None, secret=name, found=secret("auth", owner="ExternalSecret x"))
        for name in names
    )
    return Verdict(reason=Reason.WRONG_TYPE, problems=problems, unverifiable=names)


def test_what_the_object_names_and_ours_stay_and_the_rest_has_no_name() -> None:
    found = discreet(verdict("ghcr-secret", "own", "victim", "other"), ["own"])
    assert [problem.secret for problem in found.problems] == ["ghcr-secret", "own", UNNAMED, UNNAMED]
    assert [problem.found is None for problem in found.problems] == [False, False, True, True]
    assert found.unverifiable == ("ghcr-secret", "own", UNNAMED)
    assert "victim" not in repr(found)


def test_a_problem_without_a_secret_stays_as_it_is() -> None:
    problem = Problem(reason=Reason.NOT_LISTED, image=None)
    assert discreet(Verdict(reason=Reason.NOT_LISTED, problems=(problem,)), []).problems == (problem,)
