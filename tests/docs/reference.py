"""The tables of docs/reference.md, made from the code.

After a change of a setting, a metric, a reason or a name: ``python -m tests.docs.reference`` writes them again.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import click

from tests.docs.commands import DOCS
from webhook.cli import main
from webhook.cli.options import SettingOption
from webhook.config import CONNECTION_SETTINGS, SERVE_SETTINGS, Setting
from webhook.config.controller import CONTROLLER_SETTINGS
from webhook.core import names
from webhook.core.figures import CopyFigures, CredentialFigures, WatchHealth
from webhook.core.vocabulary import CredentialState, Provisioning, Reason
from webhook.ports import EventReason
from webhook.server.connection import Drops
from webhook.telemetry.controller_metrics import CertificateMetrics, ControllerFigures, ControllerMetrics
from webhook.telemetry.metrics import REACHABLE, Metrics

PAGE: Final = DOCS / "reference.md"
_SECTION: Final = re.compile(r"(<!-- table (?P<name>[a-z-]+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)

SETTINGS: Final[Mapping[str, tuple[Setting, ...]]] = {
    "serve": SERVE_SETTINGS,
    "controller": CONTROLLER_SETTINGS,
    "doctor": CONNECTION_SETTINGS,
    "status": CONNECTION_SETTINGS,
    "cleanup": CONNECTION_SETTINGS,
}

KEYS: Final[Mapping[str, tuple[str, str, str]]] = {
    names.INJECT_KEY: (
        "label of a Namespace; annotation of a workload",
        "whoever may write it",
        (
            '`"false"`: out, nothing is added there and no copy made. `"true"` on a Namespace: in, where '
            '`namespaces.mode` is `opt-in`. On a workload or its pod template only `"false"` means anything.'
        ),
    ),
    names.ENFORCE_LABEL: (
        "label of a Namespace",
        "whoever may write it",
        "`deny`, `warn` or `off`; goes before the installation's `enforcement`.",
    ),
    names.PROVISION_LABEL: (
        "label of a Namespace",
        "whoever may write it",
        (
            '`"true"`: the namespace gets its copy before any workload needs it, with `opt-in` also one that is not in. Not where '
            '`inject` is `"false"`.'
        ),
    ),
    names.COVERS_ANNOTATION: (
        "annotation of a copy",
        "this add-on",
        "`all`: it has a credential for every selected image, so the API server's policies may rely on it.",
    ),
    names.PATTERNS_ANNOTATION: (
        "annotation of a copy",
        "this add-on",
        "For which `images.include` and `images.exclude` that was found: a digest of them.",
    ),
    names.COVERED_LABEL: (
        "label of a Pod",
        "the API server's policies, or this add-on",
        "`true`: the Pod lists a copy that covers its images. Believed only as far as the policies can see that it is so.",
    ),
    names.ADOPT_ANNOTATION: (
        "annotation of a foreign `ghcr-secret`",
        "whoever may write it",
        (
            '`"true"`: take it over, also from whoever applied it or from another release; the add-on then writes its own source '
            "there. Without effect as long as the Secret has an owner."
        ),
    ),
    names.MANAGED_BY_LABEL: (
        "label of a copy",
        "this add-on",
        f"`{names.MANAGED_BY_VALUE}`, and no owner: the copy is ours. Take the label off and it is yours.",
    ),
    names.SOURCE_ANNOTATION: (
        "annotation of a copy",
        "this add-on",
        "`NAMESPACE/NAME` of the central secret. A copy that names another release's is left to that release.",
    ),
    names.LAST_APPLIED_ANNOTATION: (
        "annotation of a Secret",
        "`kubectl apply`",
        (
            "On a copy: somebody applied their own, and it is theirs from then on. So it is if another field manager applied "
            "its data (`--server-side`)."
        ),
    ),
    "argocd.argoproj.io/compare-options": (
        "annotation of a copy",
        "this add-on",
        "`IgnoreExtraneous`: Argo CD does not call an Application out of sync for it.",
    ),
    "argocd.argoproj.io/sync-options": (
        "annotation of a copy",
        "this add-on",
        "`Prune=false`: Argo CD does not prune it.",
    ),
    names.MIRROR_ANNOTATION: (
        "annotation of a Pod",
        "the kubelet",
        "Marks a static Pod's mirror, which is left alone.",
    ),
}

REASONS: Final[Mapping[Reason, str]] = {
    Reason.NOT_APPLICABLE: "No workload, or a DELETE, CONNECT, subresource or mirror Pod.",
    Reason.NO_SELECTED_IMAGE: "It pulls no image that is looked after.",
    Reason.OPTED_OUT: "The namespace or the workload is out; for the validating half: enforcement is off there.",
    Reason.CONTROLLER_OWNED: "A controller made it and it is no Pod; its Pods are looked at.",
    Reason.UNCHANGED: "An UPDATE that changes nothing of what matters here.",
    Reason.NOT_MUTABLE: "An UPDATE of a Pod or a Job, whose pull secrets cannot change any more.",
    Reason.ALREADY_LISTED: "`ghcr-secret` is listed; its copy is made sure of.",
    Reason.LEFT_TO_POD: "A template whose Pods are patched instead: it has no pull secrets and its ServiceAccount has some or is not there "
    "yet, or `templates: leave`, or it is of a further kind and has some.",
    Reason.MOUNTED: "A Pod that pulls nothing looked after and mounts `ghcr-secret`, whose copy was made sure of.",
    Reason.INJECTED: "`ghcr-secret` was added, and its copy made sure of.",
    Reason.COVERED: "Every selected image has a credential.",
    Reason.SECRET_MISSING: "A listed Secret does not exist.",
    Reason.WRONG_TYPE: "A listed Secret is of a type the kubelet does not look into.",
    Reason.MALFORMED: "A listed Secret is malformed, which stops every pull of the Pod.",
    Reason.NO_ENTRY_FOR_IMAGE: "A listed Secret has no entry that matches the image.",
    Reason.EMPTY_CREDENTIAL: "The matching entry lacks a user name or a password.",
    Reason.NOT_LISTED: "Neither the workload nor its ServiceAccount lists a pull secret.",
    Reason.CENTRAL_MISSING: "No copy could be made: the central secret does not exist.",
    Reason.CENTRAL_UNUSABLE: "No copy was made: the central secret is unusable.",
    Reason.PROVISIONING_FAILED: "No copy could be made: a quota, another admission policy, a missing permission, the API server.",
    Reason.UNVERIFIABLE: "The listed Secrets may not be read; `unverifiable` decides.",
    Reason.TOO_LARGE: (
        "A listed Secret has more than 64 KiB or 1,000 entries, or the workload more than 256 different images; it is not "
        "judged, and `unverifiable` decides."
    ),
    Reason.BAD_REQUEST: "The request could not be read.",
    Reason.ERROR: "We failed; under `failurePolicy: Fail` the workload is refused.",
}

EVENTS: Final[Mapping[EventReason, tuple[str, str, str]]] = {
    EventReason.COPY_CREATED: ("Normal", "the copy", "It was made, or made again."),
    EventReason.COPY_UPDATED: ("Normal", "the copy", "It was brought to what the central secret says, or taken over."),
    EventReason.COPY_DELETED: ("Normal", "the Namespace", "It was deleted, since the namespace opted out."),
    EventReason.COPY_REFUSED: ("Warning", "the Namespace", "It could not be written; the text says why. It is tried again."),
    EventReason.COPY_FOREIGN: ("Warning", "the Secret", "It was ours, and lost the label, got an owner or was applied by somebody; or another release keeps it. It is left alone; the text says whose it is, and how to have a copy again."),
    EventReason.COPY_CONTESTED: ("Warning", "the copy", "Somebody else changed or deleted it more than 5 times in a minute; repaired after pauses of up to 5 minutes."),
    EventReason.CENTRAL_SECRET_UNUSABLE: ("Warning", "the central secret", "It is not spread; the last good copies stay."),
    EventReason.CENTRAL_SECRET_MISSING: ("Warning", "the central secret", "It does not exist; the copies stay."),
    EventReason.CENTRAL_SECRET_USABLE: ("Normal", "the central secret", "It is good again, and spread."),
    EventReason.CENTRAL_SECRET_DOUBTFUL: (
        "Warning",
        "the central secret",
        "It is spread, but an entry serves more than it should, or its token has white space at its ends.",
    ),
    EventReason.CERTIFICATE_RENEWED: ("Normal", "the certificate's Secret", "A certificate was made."),
    EventReason.CREDENTIAL_REJECTED: ("Warning", "the central secret", "The registry does not accept the credential."),
    EventReason.CREDENTIAL_INSUFFICIENT: ("Warning", "the central secret", "The token lacks the scope `read:packages`."),
    EventReason.CREDENTIAL_CANNOT_READ: ("Warning", "the central secret", "The registry accepts the credential, but denies it an image in use; the text says which."),
    EventReason.CREDENTIAL_EXPIRING: ("Warning", "the central secret", "The token ends within 14, 3 or 1 days."),
}  # fmt: skip


def table(*rows: Iterable[str]) -> str:
    """Write a table in Markdown; the first row is its head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body))


def keys() -> str:
    """Labels and annotations."""
    return table(("Key", "Of", "Written by", "Meaning"), *((f"`{key}`", *rest) for key, rest in KEYS.items()))


def settings(command: str) -> str:
    """Flags of a command, as the command line takes them."""
    declared = {setting.name: setting for setting in SETTINGS[command]}
    rows = [("Flag", "Environment", "Default", "Meaning")]
    for option in options(command):
        # `-n` of `doctor` is no setting, though one has its name.
        setting = declared.get(option.name or "") if isinstance(option, SettingOption) else None
        flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
        if setting is None:
            rows.append((flags, "", "", option.help or ""))
            continue
        default = setting.default if isinstance(setting.default, str) else ", ".join(setting.default or ())
        remarks = [
            " Required." if setting.required else "",
            " May be given several times." if setting.repeatable else "",
        ]
        rows.append(
            (flags, f"`{setting.variable}`", f"`{default}`" if default else "", setting.help + "".join(remarks))
        )
    return table(*rows)


def options(command: str) -> Iterator[click.Option]:
    """List the options of a command, `--help` left out."""
    found = main.get_command(click.Context(main), command)
    assert found is not None, command
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            yield parameter


def commands() -> list[str]:
    """List the commands there are."""
    return main.list_commands(click.Context(main))


def metrics() -> str:
    """Every metric family; a label's values where they are few and fixed."""
    return table(("Metric", "Type", "Labels", "Meaning"), *((f"`{name}`", *rest) for name, *rest in families()))


def families() -> Iterator[tuple[str, str, str, str]]:
    """Read name, type, labels and meaning of every family from registries that have a sample of each."""
    watch = WatchHealth(resource="RESOURCE", synced=True, last_event_age_s=0.0, restarts={"CAUSE": 0}, error="")
    credential = CredentialFigures(registry="HOST", accepted=True, expires_at=0.0, answered_at=0.0, unreadable=0)
    whole = Metrics(
        version="VERSION",
        watches=lambda: (watch,),
        certificate_expiry=lambda: 0.0,
        provisioning_results=Provisioning,
        credentials=lambda: (credential,),
        credential_results=CredentialState,
        connections_dropped=Drops().totals,
    )
    figures = ControllerFigures(
        leading=True,
        backlog=0,
        central_usable=True,
        copies=CopyFigures(ours=0, foreign=0, other_release=0, stale=0),
        contested=0,
        unable_to_pull={"CAUSE": 0},
    )
    ControllerMetrics(whole.registry, figures=lambda: figures)
    CertificateMetrics(whole.registry)
    for family in sorted(whole.registry.collect(), key=lambda each: each.name):
        if family.name.startswith("process_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.samples, f"{name} has no sample to read its labels from"
        yield name, family.type, _labels(family.samples), family.documentation


_SHOWN: Final = 15


def _labels(samples: Iterable[Any]) -> str:
    found: dict[str, list[str]] = {}
    for sample in samples:
        for label, value in sample.labels.items():
            if label != "le" and value not in found.setdefault(label, []):
                found[label].append(value)
    return "; ".join(f"`{label}`{_values(values)}" for label, values in found.items())


def _values(values: list[str]) -> str:
    if len(values) > _SHOWN or any(value.isupper() for value in values):
        return ""
    return f" ({', '.join(values)})"


def reasons() -> str:
    """Every reason, by the half and the outcomes it comes with."""
    rows = [("Reason", "Half", "Outcome", "Meaning")]
    for reason in Reason:
        came = {half: [outcome for outcome, each in REACHABLE[half] if each is reason] for half in REACHABLE}
        halves = [half for half, outcomes in came.items() if outcomes]
        outcomes = dict.fromkeys(outcome for half in halves for outcome in came[half])
        rows.append((f"`{reason}`", ", ".join(halves), ", ".join(outcomes), REASONS[reason]))
    return table(*rows)


def events() -> str:
    """Every reason of a Kubernetes Event."""
    return table(("Reason", "Type", "On", "Meaning"), *((f"`{reason}`", *EVENTS[reason]) for reason in EventReason))


def written() -> str:
    """Give the page's text with the tables as they should be."""
    made: dict[str, Callable[[], str]] = {
        "keys": keys,
        "metrics": metrics,
        "reasons": reasons,
        "events": events,
        **{command: functools.partial(settings, command) for command in SETTINGS},
    }
    return _SECTION.sub(
        lambda match: f"{match[1]}\n{made[match['name']]()}\n{match[3]}", PAGE.read_text(encoding="utf-8")
    )


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
