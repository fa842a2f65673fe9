"""What a user reads when a workload is refused: every reason for every kind of object."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.core.kinds import kind_named
from tests.objects import CANARY, IMAGE, RELEASE_NAMESPACE, secret, workload
from webhook.core import display, remedies, texts
from webhook.core.display import shown
from webhook.core.judging import UNNAMED, Problem, Refusal, Verdict
from webhook.core.parts import Part
from webhook.core.vocabulary import REFUSING, CentralFault, Reason
from webhook.core.workloads import PodImage, read

TABLE = Path(__file__).parents[1] / "data" / "refusals.txt"
"""Every refusal, to be read by people: `python -m tests.core.test_texts` writes it."""

PULLED = PodImage(place="containers", name="c0", image=IMAGE)
DEBUGGER = PodImage(place="ephemeralContainers", name="debugger", image="ghcr.io/nicolaka/netshoot:latest")

OURS = secret("auth", ours=True)
OWNED = secret("auth", owned=True, owner="ExternalSecret ghcr-secret")
FOREIGN = secret("auth")

PROBLEMS: dict[str, Problem] = {
    "secret_missing": Problem(reason=Reason.SECRET_MISSING, image=PULLED, secret="ghcr-secret"),
    "secret_missing other": Problem(reason=Reason.SECRET_MISSING, image=PULLED, secret="corp-pull"),
    "wrong_type foreign": Problem(reason=Reason.WRONG_TYPE, image=PULLED, secret="ghcr-secret", found=FOREIGN),
    "wrong_type owned": Problem(reason=Reason.WRONG_TYPE, image=PULLED, secret="ghcr-secret", found=OWNED),
    "malformed foreign": Problem(reason=Reason.MALFORMED, image=None, secret="ghcr-secret", found=FOREIGN),
    "malformed owned": Problem(reason=Reason.MALFORMED, image=None, secret="ghcr-secret", found=OWNED),
    "no_entry ours": Problem(reason=Reason.NO_ENTRY_FOR_IMAGE, image=PULLED, secret="ghcr-secret", found=OURS),
    "no_entry foreign": Problem(reason=Reason.NO_ENTRY_FOR_IMAGE, image=PULLED, secret="ghcr-secret", found=FOREIGN),
    "no_entry owned": Problem(reason=Reason.NO_ENTRY_FOR_IMAGE, image=PULLED, secret="ghcr-secret", found=OWNED),
    "no_entry helper": Problem(
        reason=Reason.NO_ENTRY_FOR_IMAGE, image=PULLED, secret="ghcr-secret", found=FOREIGN, uses_helper=True
    ),
    "empty ours": Problem(reason=Reason.EMPTY_CREDENTIAL, image=PULLED, secret="ghcr-secret", found=OURS),
    "empty foreign": Problem(reason=Reason.EMPTY_CREDENTIAL, image=PULLED, secret="ghcr-secret", found=FOREIGN),
    "empty owned": Problem(reason=Reason.EMPTY_CREDENTIAL, image=PULLED, secret="ghcr-secret", found=OWNED),
    "not_listed": Problem(reason=Reason.NOT_LISTED, image=PULLED),
    "central_missing": Problem(reason=Reason.CENTRAL_MISSING, image=PULLED, secret="ghcr-secret"),
    **{
        f"central_unusable {fault}": Problem(
            reason=Reason.CENTRAL_UNUSABLE, image=PULLED, secret="ghcr-secret", central_fault=fault
        )
        for fault in CentralFault
    },
    "provisioning_failed": Problem(
        reason=Reason.PROVISIONING_FAILED, image=PULLED, secret="ghcr-secret", detail="the namespace is being deleted"
    ),
    "unverifiable": Problem(reason=Reason.UNVERIFIABLE, image=PULLED, secret="corp-pull"),
    "secret_missing unnamed": Problem(reason=Reason.SECRET_MISSING, image=PULLED, secret=UNNAMED),
    "malformed unnamed": Problem(reason=Reason.MALFORMED, image=None, secret=UNNAMED),
    "too_large": Problem(reason=Reason.TOO_LARGE, image=PULLED, secret="corp-pull"),
    "too_many_images": Problem(reason=Reason.TOO_LARGE, image=None),
}


def refusal(
    kind: str, *, owner: str = "", annotations: dict[str, str] | None = None, update: bool = False, **changes: Any
) -> Refusal:
    document = workload(kind, owner=owner, annotations=annotations)
    subject = read(kind_named(kind), document)
    defaults: dict[str, Any] = {"provisions": True}
    return Refusal(
        part=Part(workload=subject, images=(PULLED,), update=update),
        namespace="auth",
        release_namespace=RELEASE_NAMESPACE,
        **{**defaults, **changes},
    )


OUT = {"ghcr-pull-secrets.io/inject": "false"}
SITUATIONS: dict[str, Refusal] = {
    "template": refusal("Deployment"),
    "template of a CronJob": refusal("CronJob"),
    "bare Pod": refusal("Pod"),
    "running bare Pod": refusal("Pod", update=True, provisions=False),
    "Pod with a controller": refusal("Pod", owner="ReplicaSet"),
    "running Pod with a controller": refusal("Pod", owner="ReplicaSet", update=True, provisions=False),
    "Pod of a Job": refusal("Pod", owner="Job"),
    "Pod of a StatefulSet": refusal("Pod", owner="StatefulSet"),
    "opted out": refusal("Deployment", provisions=False, opted_out=True, annotations=OUT),
    "Pod that opted out": refusal("Pod", provisions=False, opted_out=True, annotations=OUT),
    "Pod of a template that opted out": refusal(
        "Pod", owner="ReplicaSet", provisions=False, opted_out=True, annotations=OUT
    ),
    "namespace that opted out": refusal("Deployment", provisions=False, opted_out=True, namespace_out=True),
    "running Pod where opted out": refusal(
        "Pod", update=True, provisions=False, opted_out=True, namespace_out=True, annotations=OUT
    ),
    "another webhook added the image": refusal("Pod", bypassed=True),
}


def in_debug_container(problem: Problem) -> Problem:
    image = problem.image and DEBUGGER
    return Problem(**{name: getattr(problem, name) for name in Problem.__slots__} | {"image": image})


DEBUGGED: dict[str, Refusal] = {
    "debug container": refusal("Pod", update=True, provisions=False),
    "debug container in a Pod with a controller": refusal("Pod", owner="ReplicaSet", update=True, provisions=False),
    "debug container where opted out": refusal(
        "Pod", update=True, provisions=False, opted_out=True, namespace_out=True
    ),
}


def rows() -> Iterable[tuple[str, Problem, Refusal]]:
    for name, problem in PROBLEMS.items():
        for situation, refused in SITUATIONS.items():
            yield f"{name} · {situation}", problem, refused
        for situation, refused in DEBUGGED.items():
            yield f"{name} · {situation}", in_debug_container(problem), refused


def text_of(problem: Problem, refused: Refusal) -> str:
    return texts.denial(refused, Verdict(reason=problem.reason, problems=(problem,)))


def table() -> str:
    """A paragraph for each problem: every text once, behind the situations that have it."""
    lines = []
    for problem in PROBLEMS:
        by_text: dict[str, list[str]] = {}
        for name, found, refused in rows():
            if name.startswith(f"{problem} · "):
                by_text.setdefault(text_of(found, refused), []).append(name.removeprefix(f"{problem} · "))
        lines.append(f"# {problem}\n")
        lines.extend(f"{', '.join(names)}\n    {text}\n" for text, names in by_text.items())
    return "\n".join(lines)


def test_every_refusal_reads_as_it_was_reviewed() -> None:
    assert table() == TABLE.read_text()


@pytest.mark.parametrize(("problem", "refused"), [pytest.param(p, r, id=name) for name, p, r in rows()])
def test_a_refusal_is_one_line_that_names_the_workload_and_never_content(problem: Problem, refused: Refusal) -> None:
    text = text_of(problem, refused)
    assert text.startswith(f"{refused.workload.kind.kind} auth/auth-api ")
    assert "To fix it, " in text
    assert problem.image is None or problem.image.image in text
    assert "\n" not in text
    assert CANARY not in text
    assert "REGISTRY" not in text
    assert "/imagePullSecrets" not in text


@pytest.mark.parametrize(("problem", "refused"), [pytest.param(p, r, id=name) for name, p, r in rows()])
def test_no_refusal_tells_to_edit_what_cannot_be_edited(problem: Problem, refused: Refusal) -> None:
    text = text_of(problem, refused)
    if refused.workload.is_pod and (refused.part.update or refused.workload.controlled):
        assert "of the manifest" not in text
        assert "apply it again" not in text or not refused.workload.controlled


def test_no_update_waits_for_a_controller_since_none_sent_it() -> None:
    for name, problem, refused in rows():
        if refused.part.update:
            assert "wait until its controller" not in text_of(problem, refused), name


def test_who_opted_out_is_told_neither_to_list_what_is_not_there_nor_to_debug_a_copy_that_is_refused() -> None:
    for name, problem, refused in rows():
        if refused.opted_out and problem.reason is Reason.NOT_LISTED:
            text = text_of(problem, refused)
            assert "- name: ghcr-secret" not in text, name
            assert "--copy-to" not in text, name
            assert "images.exclude" in text, name
            assert "ghcr-pull-secrets.io/enforce=off" in text, name


def test_the_template_of_a_job_is_not_told_to_be_rolled_out() -> None:
    text = text_of(PROBLEMS["not_listed"], SITUATIONS["Pod of a Job"])
    assert "create it again" in text
    assert "roll it out" not in text
    assert "in the template of StatefulSet o, and roll it out" in text_of(
        PROBLEMS["not_listed"], SITUATIONS["Pod of a StatefulSet"]
    )


def test_a_copy_of_ours_that_lacks_an_entry_may_be_given_away_for_ones_own() -> None:
    give_away = "kubectl label secret ghcr-secret --namespace auth app.kubernetes.io/managed-by-"
    for name, problem, refused in rows():
        if problem.found is not None and problem.reason in (Reason.NO_ENTRY_FOR_IMAGE, Reason.EMPTY_CREDENTIAL):
            assert (give_away in text_of(problem, refused)) == (problem.found is OURS), name


def test_without_the_add_on_the_secret_has_to_be_made_by_hand() -> None:
    absent = refusal("Deployment", provisions=False, installed=False)
    remedy = remedies.remedy(PROBLEMS["secret_missing"], absent)
    assert remedy.startswith("run: read -rsp 'Token: ' TOKEN; kubectl create secret docker-registry ghcr-secret")


def test_every_reason_that_a_verdict_can_refuse_for_has_a_cause_and_a_remedy() -> None:
    judged = set(REFUSING)
    assert {problem.reason for problem in PROBLEMS.values()} >= judged
    assert judged <= set(texts.CAUSES)
    assert judged <= set(remedies.REMEDIES)


@pytest.mark.parametrize(
    ("image", "entry"),
    [
        ("ghcr.io/sesacthon/auth-api:latest", "ghcr.io/sesacthon/"),
        ("ghcr.io/a/b/c@sha256:" + "0" * 64, "ghcr.io/a/"),
        ("quay.io:8443/team/app", "quay.io:8443/team/"),
        ("registry.example/app", "registry.example"),
        ("nginx", "https://index.docker.io/v1/"),
        ("GHCR.IO/Not/Valid:::", ""),
    ],
)
def test_the_entry_to_add_is_that_of_the_images_organisation(image: str, entry: str) -> None:
    assert remedies.server(image) == entry


def test_a_secret_with_other_logins_is_never_told_to_be_deleted_for_a_missing_entry() -> None:
    for name, problem, refused in rows():
        if problem.reason in (Reason.NO_ENTRY_FOR_IMAGE, Reason.EMPTY_CREDENTIAL):
            assert "delete secret" not in text_of(problem, refused), name


def test_a_secret_of_an_owner_is_told_to_be_fixed_at_its_owner() -> None:
    for name, problem, refused in rows():
        if problem.found is OWNED:
            text = text_of(problem, refused)
            assert "ExternalSecret ghcr-secret" in text, name
            assert "kubectl delete secret" not in text, name


def test_no_command_keeps_the_token_in_history_or_annotation() -> None:
    assert "--docker-password=TOKEN" not in table()
    assert "kubectl apply" not in table()
    assert "read -rsp" in table()


def test_a_name_no_secret_can_have_stands_in_no_command() -> None:
    problem = Problem(reason=Reason.SECRET_MISSING, image=PULLED, secret="x; rm -rf $HOME")
    text = text_of(problem, refusal("Pod"))
    assert "kubectl" not in text
    assert "a name that a Secret can have" in text


def test_a_name_in_a_command_is_one_word_whatever_it_is() -> None:
    assert shlex.split(display.delete_secret("x; rm -rf $HOME", "auth"))[3] == "x; rm -rf $HOME"
    assert shlex.split(display.force_sync("a b", "auth"))[3] == "a b"
    assert display.create_secret("a b", "auth", "ghcr.io/") == ()


def test_a_host_in_capitals_or_with_its_port_is_to_be_written_plainly() -> None:
    odd = PodImage(place="containers", name="c0", image="GHCR.IO:443/a/b")
    problem = Problem(reason=Reason.NO_ENTRY_FOR_IMAGE, image=odd, secret="ghcr-secret", found=OURS)
    assert "write the registry's host as ghcr.io" in text_of(problem, refusal("Deployment"))


def test_further_images_are_counted() -> None:
    problem = PROBLEMS["not_listed"]
    text = texts.denial(refusal("Pod"), Verdict(reason=problem.reason, problems=(problem,) * 3))
    assert "2 more images would be pulled" in text


def test_a_warning_names_three_secrets_at_most() -> None:
    subject = read(kind_named("Pod"), workload())
    names = tuple(f"s{index}" for index in range(4000))
    text = texts.unverified(subject, Verdict(reason=Reason.UNVERIFIABLE, unverifiable=names))
    assert text.endswith("s0, s1, s2 and 3997 more")
    assert texts.unverified(subject, Verdict(reason=Reason.UNVERIFIABLE, unverifiable=("a", "b"))).endswith("a, b")


def test_what_a_user_wrote_is_cut_and_cleaned() -> None:
    assert shown("a\x1b[31m\nb") == "a?[31m?b"
    assert len(shown("x" * 1000)) == 257


if __name__ == "__main__":
    TABLE.write_text(table())
