"""Why a Pod cannot pull: every recorded case, and what the recordings do not have."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.stuck_pods import (
    ANONYMOUS,
    AUTH,
    CENTRAL,
    COPY,
    DENIED,
    MIRROR,
    NO_HOST,
    OTHER_TOKEN,
    REJECTED,
    around,
    diagnosed,
    pod,
    with_payload,
)
from tests.objects import CANARY, IMAGE, RELEASE_NAMESPACE, RULES, payload, secret, workload
from tests.recordings import FILES, Recording, recordings
from webhook.core import copies, diagnosing, workloads
from webhook.core.causes import Cause, Surroundings, Unused
from webhook.core.judging import SecretFact, UnreadableSecret
from webhook.core.kinds import POD
from webhook.core.kubelet_words import ContainerWaiting
from webhook.core.names import ADOPT_ANNOTATION, SOURCE_ANNOTATION
from webhook.core.ownership import Owner
from webhook.core.patterns import ImagePatterns
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.core.vocabulary import CredentialState

RULES_OF_THE_RECORDINGS = replace(RULES, patterns=ImagePatterns(include=("ghcr.io/*", "registry.invalid/*")))
RECORDED = [recording for file in FILES for recording in recordings(file)]

CAUSES = {
    "secret-absent": Cause.SECRET_MISSING,
    "not-listed": Cause.NOT_LISTED,
    "wrong-token": Cause.CREDENTIAL_REJECTED,
    "no-right-to-read": Cause.CREDENTIAL_NO_ACCESS,
    "missing-tag": Cause.IMAGE_NOT_FOUND,
    "missing-repository": Cause.IMAGE_NOT_FOUND,
    "opaque": Cause.WRONG_TYPE,
    "other-host": Cause.NO_ENTRY_FOR_IMAGE,
    "other-path": Cause.NO_ENTRY_FOR_IMAGE,
    "empty": Cause.NO_ENTRY_FOR_IMAGE,
    "empty-entry": Cause.EMPTY_CREDENTIAL,
    "bad-base64": Cause.MALFORMED,
    "no-colon": Cause.MALFORMED,
    "auths-a-string": Cause.MALFORMED,
    "capital-host": Cause.HOST_SPELLING,
    "invalid-image-name": Cause.INVALID_IMAGE_NAME,
    "never": Cause.NEVER_PULLED,
    "unknown-host": Cause.REGISTRY_UNREACHABLE,
    "pulled-then-crashes": Cause.PULLED,
    "pulled-configmap-missing": Cause.PULLED,
    "pulled-secret-missing": Cause.PULLED,
    "init-container": Cause.SECRET_MISSING,
}


def expected(recording: Recording) -> Cause | None:
    if recording.file == FILES[1] and recording.case in ("missing-tag", "missing-repository"):
        return Cause.REGISTRY_UNREACHABLE  # that node did not trust the registry's certificate
    return CAUSES.get(recording.case)


@pytest.mark.parametrize("recording", RECORDED, ids=lambda each: f"{each.file[15:-6]} {each.case}")
def test_every_recorded_case_has_its_cause(recording: Recording) -> None:
    found: dict[str, SecretFact] = {}
    if recording.content is not None:
        found["ghcr-secret"] = secret("auth", type=recording.secret_type, payload=recording.content)
    around = Surroundings(namespace=AUTH, secrets=found, central=secret(payload=recording.content or payload()))
    around = (
        replace(around, central=CENTRAL) if recording.content is None else replace(around, central=UnreadableSecret())
    )

    causes_seen = {
        diagnosis.cause if diagnosis else None
        for status in recording.statuses
        for diagnosis in (diagnosed(recording.pod(status), around, rules=RULES_OF_THE_RECORDINGS),)
    }

    assert causes_seen == {expected(recording)}


STORY = "pull access denied, repository does not exist or may require authorization: insufficient_scope: authorization failed"


def cause(message: str, facts: Surroundings | None = None, **changes: Any) -> Cause | None:
    found = diagnosed(pod(message, **changes), facts or around())
    return found.cause if found else None


@pytest.mark.parametrize(
    ("central", "expect"),
    [
        (CENTRAL, Cause.SECRET_MISSING),
        (None, Cause.CENTRAL_MISSING),
        (secret(payload=b"{}"), Cause.CENTRAL_UNUSABLE),
        (UnreadableSecret(), Cause.SECRET_MISSING),
    ],
)
def test_a_missing_copy_is_missing_for_a_reason(central: SecretFact, expect: Cause) -> None:
    assert cause(ANONYMOUS, around(None, central=central)) is expect


def test_where_no_copy_is_to_be_the_central_secret_does_not_matter() -> None:
    out = around(None, namespace=Namespace(name="auth", inject="false"), central=None)

    assert cause(ANONYMOUS, out) is Cause.SECRET_MISSING


def test_a_copy_that_came_later_has_only_the_back_off_to_wait_for() -> None:
    assert cause(ANONYMOUS) is Cause.BACK_OFF


def test_a_malformed_secret_that_was_corrected_has_only_the_back_off_to_wait_for() -> None:
    assert cause("x", reason="illegal base64 data at input byte 0") is Cause.BACK_OFF


def test_a_malformed_secret_is_named_and_one_that_may_not_be_read_cannot_be() -> None:
    found = diagnosed(pod("x", reason="illegal base64 data"), around(with_payload(b'{"auths": 1}', marks={})))
    unread = diagnosed(
        pod("x", reason="illegal base64 data", secrets=["corp"]), around(secrets={"corp": UnreadableSecret()})
    )

    assert found
    assert (found.cause, found.secret, found.owner) == (Cause.MALFORMED, "ghcr-secret", Owner.FOREIGN)
    assert unread
    assert (unread.cause, unread.secret, unread.problem) == (Cause.MALFORMED, "corp", None)


@pytest.mark.parametrize("message", [REJECTED, DENIED, STORY])
def test_a_copy_that_the_controller_would_change_is_stale(message: str) -> None:
    assert cause(message, around(with_payload(OTHER_TOKEN))) is Cause.STALE


@pytest.mark.parametrize("content", [payload(registry="quay.io"), b'{"auths": 1}'])
def test_a_copy_without_what_the_central_secret_has_is_stale_too(content: bytes) -> None:
    assert cause(ANONYMOUS, around(with_payload(content))) is Cause.STALE


def test_a_copy_without_what_the_central_secret_lacks_too_is_not_stale() -> None:
    lacking = secret(payload=payload(registry="ghcr.io/other/"))
    copy = copies.desired("auth", lacking, RULES.patterns)

    assert cause(ANONYMOUS, around(replace(copy, payload=OTHER_TOKEN), central=lacking)) is Cause.BACK_OFF
    assert cause(ANONYMOUS, around(copy, central=lacking)) is Cause.NO_ENTRY_FOR_IMAGE


def test_a_copy_whose_marks_alone_are_old_is_not_stale() -> None:
    assert cause(REJECTED, around(replace(COPY, marks={**COPY.marks, "x": "y"}))) is Cause.CREDENTIAL_REJECTED
    old = {key: value for key, value in COPY.marks.items() if "argocd" not in key}
    assert cause(REJECTED, around(replace(COPY, marks=old))) is Cause.CREDENTIAL_REJECTED


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({"marks": {}}, Owner.FOREIGN),
        ({"owned": True, "owner": "ExternalSecret ghcr-secret"}, Owner.OWNED),
        ({"given_away": True}, Owner.GIVEN_AWAY),
        ({"marks": {**COPY.marks, SOURCE_ANNOTATION: "other/ghcr-secret"}}, Owner.OTHER_RELEASE),
    ],
)
def test_a_foreign_secret_with_another_credential_is_named_with_its_owner(changes: Any, owner: Owner) -> None:
    found = diagnosed(pod(REJECTED), around(with_payload(OTHER_TOKEN, **changes)))

    assert found
    assert (found.cause, found.owner) == (Cause.FOREIGN, owner)


def test_a_foreign_secret_with_the_central_credential_is_rejected_for_what_it_is() -> None:
    assert cause(REJECTED, around(replace(COPY, marks={}))) is Cause.CREDENTIAL_REJECTED


def test_a_foreign_secret_is_not_to_blame_where_the_central_secret_is_no_better() -> None:
    foreign = with_payload(OTHER_TOKEN, marks={})

    for central in (None, UnreadableSecret(), secret(payload=b"{}")):
        assert cause(REJECTED, around(foreign, central=central)) is Cause.CREDENTIAL_REJECTED


def test_an_adopted_secret_is_ours() -> None:
    adopted = with_payload(OTHER_TOKEN, given_away=True, marks={**COPY.marks, ADOPT_ANNOTATION: CENTRAL.reference})

    assert cause(REJECTED, around(adopted)) is Cause.STALE


@pytest.mark.parametrize(
    ("message", "expect"),
    [(REJECTED, Cause.CREDENTIAL_REJECTED), (DENIED, Cause.CREDENTIAL_NO_ACCESS), (STORY, Cause.CREDENTIAL_NO_ACCESS)],
)
def test_what_a_registry_refuses_though_it_is_as_it_should_be(message: str, expect: Cause) -> None:
    assert cause(message) is expect


@pytest.mark.parametrize("message", [REJECTED, DENIED])
def test_a_secret_that_was_written_since_the_last_attempt_has_only_the_back_off_to_wait_for(message: str) -> None:
    assert cause(message, around(rewritten=frozenset({"ghcr-secret"}))) is Cause.BACK_OFF
    assert cause(message, around(rewritten=frozenset({"other"}))) is not Cause.BACK_OFF
    assert cause(message, around(with_payload(OTHER_TOKEN), rewritten=frozenset({"ghcr-secret"}))) is Cause.STALE


@pytest.mark.parametrize(
    ("word", "expect"),
    [
        (CredentialState.ACCEPTED, Cause.BACK_OFF),
        (CredentialState.REJECTED, Cause.CREDENTIAL_REJECTED),
        (CredentialState.UNREADABLE, Cause.CREDENTIAL_NO_ACCESS),
    ],
)
def test_a_registry_that_was_asked_knows_better(word: CredentialState, expect: Cause) -> None:
    assert cause(STORY, around(word=word)) is expect


@pytest.mark.parametrize("word", [CredentialState.UNREACHABLE, CredentialState.NOT_CHECKED])
def test_a_registry_that_gave_no_answer_knows_nothing_better(word: CredentialState) -> None:
    assert cause(REJECTED, around(word=word)) is Cause.CREDENTIAL_REJECTED
    assert cause(DENIED, around(word=word)) is Cause.CREDENTIAL_NO_ACCESS


def test_its_word_is_on_the_central_credential_and_on_no_other() -> None:
    own = secret("auth", name="corp", payload=OTHER_TOKEN)
    facts = around(secrets={"corp": own}, word=CredentialState.ACCEPTED)

    assert cause(REJECTED, facts, secrets=["corp"]) is Cause.CREDENTIAL_REJECTED


def test_what_may_not_be_read_is_not_guessed() -> None:
    unread = around(secrets={"corp": UnreadableSecret()})

    assert cause(ANONYMOUS, unread, secrets=["corp"]) is Cause.UNVERIFIABLE
    assert cause(REJECTED, unread, secrets=["corp"]) is Cause.CREDENTIAL_REJECTED
    large = secret("auth", name="corp", payload=None, too_large=True)
    assert cause(ANONYMOUS, around(secrets={"corp": large}), secrets=["corp"]) is Cause.TOO_LARGE


NO_TOKEN = (
    "initializing source docker://x/a/b:1: unable to retrieve auth token: invalid username/password: unauthorized"
)


def test_words_that_cri_o_has_with_and_without_a_credential_are_read_by_what_there_is_to_send() -> None:
    assert cause(NO_TOKEN) is Cause.CREDENTIAL_REJECTED
    assert cause(NO_TOKEN, around(None)) is Cause.SECRET_MISSING
    assert cause(NO_TOKEN, around(secrets={}), secrets=[]) is Cause.NOT_LISTED
    assert cause(NO_TOKEN, around(rewritten=frozenset({"ghcr-secret"}))) is Cause.BACK_OFF
    assert cause(NO_TOKEN, around(secrets={"corp": UnreadableSecret()}), secrets=["corp"]) is Cause.UNVERIFIABLE


def test_what_the_installation_takes_on_trust_does_not_matter() -> None:
    strict = replace(RULES, allow_unverifiable=False)
    found = diagnosed(pod(ANONYMOUS, secrets=["corp"]), around(secrets={"corp": UnreadableSecret()}), rules=strict)

    assert found
    assert found.cause is Cause.UNVERIFIABLE


@pytest.mark.parametrize(
    ("listed", "account", "names", "default", "why"),
    [
        (["corp"], "builder", ("ghcr-secret",), (), Unused.OWN_LIST),
        ([], "builder", ("ghcr-secret",), (), Unused.LATER),
        ([], "builder", (), ("ghcr-secret",), Unused.OTHER_ACCOUNT),
    ],
)
def test_an_account_that_lists_what_the_pod_lacks_is_named(
    listed: list[str], account: str, names: tuple[str, ...], default: tuple[str, ...], why: Unused
) -> None:
    accounts: dict[str, Any] = {
        "account": ServiceAccount(secrets=names),
        "default_account": ServiceAccount(secrets=default),
    }
    found = diagnosed(pod(ANONYMOUS, secrets=listed, service_account=account), around(**accounts))

    assert found
    assert (found.cause, found.unused, found.secret) == (Cause.ACCOUNT_UNUSED, why, "ghcr-secret")


def test_an_account_that_lists_nothing_better_is_not_to_blame() -> None:
    absent = around(None, account=ServiceAccount(secrets=("other",)))

    assert cause(ANONYMOUS, absent) is Cause.SECRET_MISSING
    unread = around(
        secrets={"ghcr-secret": None, "corp": UnreadableSecret()}, account=ServiceAccount(secrets=("corp",))
    )
    assert cause(ANONYMOUS, unread) is Cause.SECRET_MISSING
    assert cause(ANONYMOUS, unread, secrets=[]) is Cause.ACCOUNT_UNUSED
    good = secret("auth", name="corp")
    secrets: dict[str, SecretFact] = {"ghcr-secret": secret("auth", payload=b"x"), "corp": good}
    malformed = around(secrets=secrets, account=ServiceAccount(secrets=("corp",)))
    assert cause("x", malformed, reason="illegal base64 data") is Cause.MALFORMED


def test_a_pod_that_runs_as_default_is_not_told_of_default() -> None:
    facts = around(secrets={}, default_account=ServiceAccount(secrets=("gone",)))

    assert cause(ANONYMOUS, facts, secrets=[]) is Cause.NOT_LISTED


@pytest.mark.parametrize("image", ["GHCR.IO/sesacthon/auth-api:1", "ghcr.io:443/sesacthon/auth-api:1"])
@pytest.mark.parametrize("message", [ANONYMOUS, DENIED, NO_HOST])
def test_a_host_that_no_entry_is_written_like_is_the_cause_whatever_the_kubelet_met(image: str, message: str) -> None:
    assert cause(message, images=[image]) is Cause.HOST_SPELLING


def test_an_odd_host_is_the_cause_where_no_copy_was_made_for_it_too() -> None:
    image = "GHCR.IO/sesacthon/auth-api:1"

    assert cause(ANONYMOUS, around(None), images=[image]) is Cause.HOST_SPELLING
    assert cause("x", around(with_payload(b"x", marks={})), images=[image], reason="illegal base64") is Cause.MALFORMED


def test_an_odd_host_that_has_an_entry_is_none() -> None:
    facts = around(with_payload(payload(registry="GHCR.IO"), marks={}))

    assert cause(DENIED, facts, images=["GHCR.IO/a/b:1"]) is not Cause.HOST_SPELLING


@pytest.mark.parametrize("ending", ["403 Forbidden", "401 Unauthorized", "503 Service Unavailable"])
def test_a_mirror_that_refuses_or_fails_is_named(ending: str) -> None:
    found = diagnosed(pod(MIRROR + ending), around())

    assert found
    assert (found.cause, found.host) == (Cause.REGISTRY_MIRROR, "mirror.corp")


def test_behind_a_mirror_a_missing_secret_is_the_first_thing_to_fix() -> None:
    assert cause(MIRROR + "401 Unauthorized", around(None)) is Cause.SECRET_MISSING


def test_a_connection_that_fails_is_no_matter_of_secrets() -> None:
    found = diagnosed(pod(NO_HOST), around(None))

    assert found
    assert (found.cause, found.exposed) == (Cause.REGISTRY_UNREACHABLE, True)
    assert cause("503 Service Unavailable") is Cause.REGISTRY_FAILING


def test_a_node_that_is_not_heard_of_comes_before_all_that_its_kubelet_said_once() -> None:
    assert cause(ANONYMOUS, around(None, node_lost=True)) is Cause.NODE_UNREACHABLE
    assert cause("", around(node_lost=True), reason="CrashLoopBackOff") is Cause.PULLED


def test_words_that_say_nothing_are_unknown_only_where_nothing_else_is_wrong() -> None:
    assert cause("whatever") is Cause.UNKNOWN
    assert cause("whatever", around(None)) is Cause.SECRET_MISSING


def test_an_image_that_is_not_selected_is_none_of_our_business() -> None:
    assert cause(ANONYMOUS, images=["nginx:1"]) is None


def test_of_several_containers_the_first_that_was_not_pulled_counts() -> None:
    made = workload(
        "Pod", images=["ghcr.io/a/b:1", "nginx:1", "ghcr.io/a/c:1", "ghcr.io/a/d:1"], secrets=["ghcr-secret"]
    )
    said = [("c0", "CrashLoopBackOff"), ("c1", "ErrImagePull"), ("c2", "ContainerCreating"), ("c3", "ErrImagePull")]
    made["status"] = {
        "containerStatuses": [
            {"name": name, "state": {"waiting": {"reason": reason, "message": ANONYMOUS}}} for name, reason in said
        ]
    }

    found = diagnosed(made, around(None))

    assert found
    assert (found.cause, found.stuck.image.name) == (Cause.SECRET_MISSING, "c3")


@pytest.mark.parametrize("place", ["initContainers", "ephemeralContainers"])
def test_containers_of_every_list_count(place: str) -> None:
    assert cause(ANONYMOUS, around(None), place=place) is Cause.SECRET_MISSING


def test_in_the_release_namespace_the_central_secret_is_nobodys_copy() -> None:
    facts = around(CENTRAL, namespace=Namespace(name=RELEASE_NAMESPACE))

    found = diagnosed(pod(REJECTED, namespace=RELEASE_NAMESPACE), facts)

    assert found
    assert (found.cause, found.owner) == (Cause.CREDENTIAL_REJECTED, None)


def test_a_status_of_a_container_that_the_pod_has_not_is_passed_over() -> None:
    subject = workloads.read(POD, pod(ANONYMOUS))
    stranger = ContainerWaiting(place="containers", container="other", reason="ErrImagePull", message=ANONYMOUS)

    assert diagnosing.find_stuck(subject, (stranger,), RULES) is None


def test_the_secrets_that_bear_on_a_pod_are_its_own_ours_and_its_accounts() -> None:
    subject = workloads.read(POD, pod(ANONYMOUS, secrets=["corp", "corp"]))

    assert diagnosing.names_to_read(subject, ServiceAccount(secrets=("a",)), ServiceAccount()) == {
        "corp",
        "ghcr-secret",
        "a",
    }


def test_no_token_is_in_the_representation_of_a_diagnosis() -> None:
    found = diagnosed(pod(REJECTED), around(with_payload(OTHER_TOKEN, marks={})))

    assert CANARY not in repr(found)
    assert CANARY[::-1] not in repr(found)
    assert IMAGE in repr(found)
