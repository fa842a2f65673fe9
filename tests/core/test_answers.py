"""Answers to an API server, made from decisions and verdicts."""

from typing import Any

import orjson
import pytest

from tests.core.kinds import KINDS
from tests.core.rules import AUTH
from tests.objects import RULES, review, secret, workload
from webhook.core import answers
from webhook.core.answers import Answer, Provisioned, combined, discreet
from webhook.core.judging import UNNAMED, Judgement, Problem, Verdict
from webhook.core.policy import Decision
from webhook.core.review import parse
from webhook.core.scope import Namespace
from webhook.core.subjects import Subject, read
from webhook.core.vocabulary import Half, Outcome, Provisioning, Reason

COVERED = Verdict(reason=Reason.COVERED)
NOT_LISTED = Verdict(reason=Reason.NOT_LISTED, problems=(Problem(reason=Reason.NOT_LISTED, image=None),))
INJECTED = Decision(reason=Reason.INJECTED, add=("ghcr-secret",), provision=True)


def subject(half: Half = Half.VALIDATE, **changes: Any) -> Subject:
    found = read(parse(orjson.dumps(review(workload(**changes)))), half, KINDS, RULES)
    assert found is not None
    return found


def judged(*verdicts: Verdict, enforce: str = "", authenticated: bool = True, **changes: Any) -> Answer:
    about = subject(**changes)
    made = [Judgement(part=about.parts[0], decision=INJECTED, verdict=each) for each in verdicts]
    namespace = Namespace(name="auth", enforce=enforce)
    return answers.judged(about, namespace, made, RULES, authenticated=authenticated)


# --- the validating half


@pytest.mark.parametrize(
    ("verdict", "enforce", "outcome"),
    [
        (COVERED, "deny", Outcome.ALLOWED),
        (COVERED, "warn", Outcome.ALLOWED),
        (COVERED, "off", Outcome.ALLOWED),
        (NOT_LISTED, "deny", Outcome.DENIED),
        (NOT_LISTED, "warn", Outcome.WARNED),
        (NOT_LISTED, "off", Outcome.ALLOWED),
    ],
)
def test_problems_and_enforcement_make_the_answer(verdict: Verdict, enforce: str, outcome: Outcome) -> None:
    answer = judged(verdict, enforce=enforce)
    assert answer.outcome is outcome
    assert answer.response.allowed is (outcome is not Outcome.DENIED)
    assert bool(answer.response.message) is (outcome is Outcome.DENIED)
    assert len(answer.response.warnings) == (outcome is Outcome.WARNED)
    assert answer.reason is verdict.reason
    assert answer.response.audit == {"reason": verdict.reason, "secret": "auth/ghcr-secret"}


def test_a_warning_is_what_a_rejection_would_have_said() -> None:
    assert judged(NOT_LISTED, enforce="warn").response.warnings == (judged(NOT_LISTED).response.message,)


def test_what_is_not_judged_is_admitted_for_its_own_reason() -> None:
    answer = judged(owner="Deployment", kind="ReplicaSet")
    assert (answer.reason, answer.outcome) == (Reason.CONTROLLER_OWNED, Outcome.ALLOWED)
    assert answer.response.audit == {"reason": "controller_owned"}


def test_what_is_taken_on_trust_is_admitted_with_a_warning() -> None:
    (warning,) = judged(Verdict(reason=Reason.UNVERIFIABLE, unverifiable=("corp-pull",))).response.warnings
    assert "corp-pull" in warning
    (warning,) = judged(Verdict(reason=Reason.TOO_LARGE)).response.warnings
    assert "different images" in warning


def test_who_has_not_shown_who_it_is_reads_no_name_that_its_object_does_not_list() -> None:
    verdict = Verdict(reason=Reason.UNVERIFIABLE, unverifiable=("own", "victim"))
    (warning,) = judged(verdict, authenticated=False, secrets=["own"]).response.warnings
    assert "own" in warning
    assert "victim" not in warning
    assert "victim" in judged(verdict, secrets=["own"]).response.warnings[0]


def test_one_verdict_is_made_of_those_on_several_parts() -> None:
    unread = Verdict(reason=Reason.UNVERIFIABLE, unverifiable=("a", "b"))
    assert combined([COVERED, COVERED]) == COVERED
    assert combined([COVERED, unread, unread]) == unread
    found = combined([unread, NOT_LISTED, COVERED])
    assert (found.reason, found.problems, found.unverifiable) == (
        Reason.NOT_LISTED,
        NOT_LISTED.problems,
        ("a", "b"),
    )


# --- the mutating half


def test_a_patch_is_answered_with_how_the_copy_came_to_be() -> None:
    answer = answers.mutated(
        subject(Half.MUTATE), AUTH, [INJECTED], provisioned=Provisioned(result=Provisioning.CREATED)
    )
    assert (answer.outcome, answer.provisioning) == (Outcome.PATCHED, "created")
    assert answer.response.audit == {"reason": "injected", "secret": "auth/ghcr-secret created"}
    assert answer.response.warnings == ()


def test_a_copy_that_could_not_be_made_is_warned_of_and_the_patch_is_the_same() -> None:
    failed = Provisioned(result=Provisioning.QUOTA_EXCEEDED, cause="quota")
    answer = answers.mutated(subject(Half.MUTATE), AUTH, [INJECTED], provisioned=failed)
    assert answer.response.warnings == ("Secret auth/ghcr-secret was not made: quota",)
    assert answer.response.patch == answers.mutated(subject(Half.MUTATE), AUTH, [INJECTED]).response.patch


def test_a_covered_pod_is_labelled() -> None:
    decision = Decision(reason=Reason.ALREADY_LISTED, provision=True)
    made = Provisioned(result=Provisioning.CURRENT)
    answer = answers.mutated(subject(Half.MUTATE), AUTH, [decision], provisioned=made, covered=True)
    assert [each["path"] for each in answer.response.patch] == ["/metadata/labels"]
    assert answer.outcome is Outcome.PATCHED


# --- names of Secrets that a caller is not told


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
