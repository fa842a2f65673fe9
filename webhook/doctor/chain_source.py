"""Judge where the central secret comes from: the store, and the ExternalSecret that reads it."""

import re
from datetime import timedelta
from typing import Final

from webhook.core.copies import Secret
from webhook.core.display import force_sync
from webhook.core.names import SECRET_NAME
from webhook.doctor.evidence import Evidence, Source, Unread
from webhook.doctor.model import Station, StationState
from webhook.doctor.objects import ExternalSecret, SecretStore
from webhook.doctor.stations import Code, ago, fault, foreign_text, names, ok, skipped, span

_EXAMPLE: Final = re.compile(r"/(?P<project>[\w.-]+)/(?P<environment>[\w.-]+)/ghcr/(?P<name>username|token)")
"""Parameters as examples/terraform names them."""

_PART: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>h|ms|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_GRACE: Final = timedelta(minutes=5)
"""An operator that has many to read is late by as much."""


def judge(evidence: Evidence) -> tuple[Station, Station]:
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
