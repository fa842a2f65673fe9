"""Judge the central secret, and the store that it comes from."""

import re
from datetime import timedelta
from typing import Final

from webhook.core import concerns, copies, coverage, texts
from webhook.core.copies import Secret
from webhook.core.coverage import Coverage
from webhook.core.display import ENTRY_GUIDE, create_secret, force_sync
from webhook.core.keyring import Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import SECRET_NAME, SECRET_TYPE
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.core.vocabulary import CentralFault
from webhook.doctor.evidence import Evidence, Source, Unread
from webhook.doctor.model import Code, Station, StationState, ago, fault, foreign_text, names, ok, skipped, span
from webhook.doctor.objects import ExternalSecret, SecretStore

_EXAMPLE: Final = re.compile(r"/(?P<project>[\w.-]+)/(?P<environment>[\w.-]+)/ghcr/(?P<name>username|token)")
"""Parameters as examples/terraform names them."""

_PART: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>h|ms|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_GRACE: Final = timedelta(minutes=5)
"""An operator that has many to read is late by as much."""


def judge_source(evidence: Evidence) -> tuple[Station, Station]:
    """Judge the stations `source` and `sync`.

    | what is there | source | sync |
    |---|---|---|
    | no ExternalSecret | ok: who else makes the central secret is not ours to judge | skipped |
    | store missing, or not Ready | fault | as below |
    | else | ok | as below |
    | the ExternalSecret is not Ready | | fault |
    | it has no condition yet | | fault |
    | it was read longer ago than twice its interval | | fault |
    """
    source = evidence.source
    if isinstance(source, Unread):
        return skipped("source", source), skipped("sync", source)
    if source.external is None:
        nothing = Station(name="sync", state=StationState.SKIPPED, text="there is nothing to sync")
        return _by_hand(evidence), nothing
    return _store(source, source.external, evidence.release.namespace), _sync(source.external, evidence)


def _by_hand(evidence: Evidence) -> Station:
    central = evidence.central
    if isinstance(central, Unread):
        return skipped("source", central)
    if isinstance(central, Secret) and central.owner:
        return ok("source", f"{foreign_text(central.owner)} makes the central secret")
    return ok("source", "no ExternalSecret: made by hand, by Helm or by another tool")


def _store(source: Source, external: ExternalSecret, namespace: str) -> Station:
    called = _name_of_store(external)
    store = source.store
    if isinstance(store, Unread):
        return skipped("source", store)
    if store is None:
        text = f"{called} does not exist, which {_name(external)} reads"
        remedy = f"create the store, or correct spec.secretStoreRef of {_name(external)}"
        return fault("source", Code.STORE_MISSING, text, remedy, f"kubectl get {_resource(external)} -A")
    if (condition := store.status and store.status.ready) and condition.status == "False":
        text = f"{called} is not ready: {foreign_text(f'{condition.reason}: {condition.message}')}"
        remedy = "correct the store's credentials or address; the operator tries again by itself"
        where = "" if external.spec and _kind(external) == "ClusterSecretStore" else f" --namespace {namespace}"
        return fault(
            "source", Code.STORE_NOT_READY, text, remedy, f"kubectl describe {_resource(external)} {_ref(store)}{where}"
        )
    return ok("source", f"{_name(external)} reads {called}")


def _sync(external: ExternalSecret, evidence: Evidence) -> Station:
    namespace = evidence.release.namespace
    again = force_sync(external.metadata.name, namespace)
    status = external.status
    ready = status.ready if status else None
    if ready is None:
        text = f"{_name(external)} was not read yet"
        return fault(
            "sync",
            Code.SYNC_NOT_BEGUN,
            text,
            "see whether the External Secrets Operator runs",
            "kubectl get pods --all-namespaces --selector app.kubernetes.io/name=external-secrets",
        )
    if ready.status != "True":
        text = f"{_name(external)}: {foreign_text(f'{ready.reason}: {ready.message}')}"
        return fault("sync", Code.SYNC_FAILED, text, _apply(external, ready.message), again)
    refreshed = status.refresh_time if status else None
    if refreshed is None:
        return ok("sync", f"{_name(external)} is synced")
    every = _interval(external)
    synced = f"{_name(external)} was synced {ago(refreshed, evidence.now)}"
    if every and evidence.now - refreshed > 2 * every + _GRACE:
        remedy = "see whether the External Secrets Operator runs, and have it read again"
        return fault("sync", Code.SYNC_STALE, f"{synced}, and is to be every {span(every)}", remedy, again)
    return ok("sync", synced)


def _apply(external: ExternalSecret, message: str) -> str:
    """Say which parameters have to be there, and which Terraform makes them: those of which the operator speaks."""
    spoken = [key for key in external.keys if key in message] or list(external.keys)
    if not spoken:
        return "correct what the message says at the store, then have it read again"
    shown = names(foreign_text(key) for key in spoken)
    found = [match for key in spoken if (match := _EXAMPLE.fullmatch(key))]
    resources = ", ".join(f"aws_ssm_parameter.{match['name']}" for match in found)
    example = ""
    if found:
        project, environment = found[0]["project"], found[0]["environment"]
        example = f" (examples/terraform has them as {resources}, with project={project} and environment={environment})"
    return (
        f"run terraform apply where {shown} is made{example}, see that the store may read it, then have it read again"
    )


def _interval(external: ExternalSecret) -> timedelta | None:
    """Read a Go duration; `None` for never, and for one that cannot be read.

    With another `refreshPolicy` than Periodic, the operator reads it once, or when it was changed.
    """
    if external.spec is None or external.spec.refresh_policy not in ("", "Periodic"):
        return None
    text = external.spec.refresh_interval
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    seconds = sum(float(part["number"]) * _UNITS[part["unit"]] for part in parts)
    return timedelta(seconds=min(seconds, 10 * 365 * 86400.0)) if seconds else None


def _name(external: ExternalSecret) -> str:
    return f"ExternalSecret {external.metadata.namespace}/{external.metadata.name}"


def _kind(external: ExternalSecret) -> str:
    reference = external.spec and external.spec.secret_store_ref
    return reference.kind if reference else "SecretStore"


def _name_of_store(external: ExternalSecret) -> str:
    reference = external.spec and external.spec.secret_store_ref
    return f"{_kind(external)} {foreign_text(reference.name) if reference else SECRET_NAME}"


def _resource(external: ExternalSecret) -> str:
    return "clustersecretstore" if _kind(external) == "ClusterSecretStore" else "secretstore"


def _ref(store: SecretStore) -> str:
    return store.metadata.name


_CENTRAL: Final = "central"


def judge_central(evidence: Evidence) -> Station:
    """Judge the central secret.

    | central secret | station |
    |---|---|
    | does not exist | fault: nothing is spread, and workloads are refused |
    | unusable (`copies.central_fault`) | fault: it is not spread, the last good copies stay |
    | else | ok, with its entries, what they leave out and what is doubtful |
    """
    central, rules = evidence.central, evidence.release.rules
    if isinstance(central, Unread):
        return skipped(_CENTRAL, central)
    where = f"{rules.release_namespace}/{SECRET_NAME}"
    if central is None:
        return fault(_CENTRAL, Code.CENTRAL_MISSING, f"Secret {where} does not exist", *_how_to_make(evidence))
    if (wrong := copies.central_fault(central, rules.patterns)) is not None:
        said = _of_all(wrong, rules.patterns)
        text = f"Secret {where} is not spread: {said}"
        return fault(_CENTRAL, Code.CENTRAL_UNUSABLE, text, _remedy(wrong, central, rules))
    return ok(_CENTRAL, _entries(central, rules.patterns))


def keyring_of(secret: Secret | Unread | None) -> Keyring:
    """Read a Secret's credentials; none of one that cannot be read."""
    if isinstance(secret, Secret):
        try:
            return copies.read_keyring(secret)
        except (MalformedSecret, SecretTooLarge):
            pass
    return Keyring(endpoints=(), default=())


def _of_all(wrong: CentralFault, patterns: ImagePatterns) -> str:
    if wrong is CentralFault.NO_ENTRY_FOR_IMAGE:
        return f"it has no entry for any image that is selected ({names(patterns.include)})"
    return texts.central_fault(wrong)


def _how_to_make(evidence: Evidence) -> tuple[str, str]:
    namespace = evidence.release.namespace
    if isinstance(evidence.source, Source) and evidence.source.external is not None:
        look = f"kubectl get externalsecret {evidence.source.external.metadata.name} --namespace {namespace}"
        return "have the ExternalSecret synced: it makes the Secret", look
    first = next((each.partition("*")[0] for each in evidence.release.rules.patterns.include), "ghcr.io/")
    commands = create_secret(SECRET_NAME, namespace, first)
    return "make it; the token stays out of the shell's history so", " && ".join(commands)


def _remedy(wrong: CentralFault, central: Secret, rules: Rules) -> str:
    where = f"in {foreign_text(central.owner)}, which makes it" if central.owner else f"there ({ENTRY_GUIDE})"
    match wrong:
        case CentralFault.NO_ENTRY_FOR_IMAGE:
            wanted = names(dict.fromkeys(each.partition("*")[0] for each in rules.patterns.include))
            return f"add an entry for {wanted} {where}"
        case CentralFault.EMPTY_CREDENTIAL:
            return f"give every entry a user name and a token {where}"
        case CentralFault.WRONG_TYPE:
            return f"make it again with type {SECRET_TYPE}" + (f" {where}" if central.owner else "")
        case _:
            return f"correct its content {where}"


def _entries(central: Secret, patterns: ImagePatterns) -> str:
    keyring = keyring_of(central)
    shown = list(dict.fromkeys(filter(None, map(concerns.showable, keyring.endpoints))))
    text = f"entries for {names(shown)}" if shown else "it can be used"
    missing = [part.pattern for part in coverage.cover(keyring, patterns) if part.coverage is Coverage.NONE]
    if missing:
        text += f"; none for {names(missing)}"
    doubts = copies.concerns(central, patterns)
    return text + "".join(f"; doubtful: {concerns.text(each)}" for each in doubts)
