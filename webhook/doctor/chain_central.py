"""Judge the central secret: is it there, can it be used, and for which images."""

from webhook.core import concerns, copies, coverage, texts
from webhook.core.copies import Secret
from webhook.core.coverage import Coverage
from webhook.core.display import ENTRY_GUIDE, create_secret
from webhook.core.keyring import Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import SECRET_NAME, SECRET_TYPE
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.core.vocabulary import CentralFault
from webhook.doctor.evidence import Evidence, Source, Unread
from webhook.doctor.model import Station
from webhook.doctor.stations import Code, fault, foreign_text, names, ok, skipped

NAME = "central"


def judge(evidence: Evidence) -> Station:
    """Judge the central secret.

    | central secret | station |
    |---|---|
    | does not exist | fault: nothing is spread, and workloads are refused |
    | unusable (`copies.central_fault`) | fault: it is not spread, the last good copies stay |
    | else | ok, with its entries, what they leave out and what is doubtful |
    """
    central, rules = evidence.central, evidence.release.rules
    if isinstance(central, Unread):
        return skipped(NAME, central)
    where = f"{rules.release_namespace}/{SECRET_NAME}"
    if central is None:
        return fault(NAME, Code.CENTRAL_MISSING, f"Secret {where} does not exist", *_how_to_make(evidence))
    if (wrong := copies.central_fault(central, rules.patterns)) is not None:
        said = _of_all(wrong, rules.patterns)
        text = f"Secret {where} is not spread: {said}"
        return fault(NAME, Code.CENTRAL_UNUSABLE, text, _remedy(wrong, central, rules))
    return ok(NAME, _entries(central, rules.patterns))


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
