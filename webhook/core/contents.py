"""Contents of pull secrets: judged, and made for a copy.

A content is bounded before it is read (`keyring.MAX_BYTES`, `keyring.MAX_ENTRIES`): tenants write Secrets into their
own namespaces. How it was read is remembered: all copies have the same content, so one reading serves most reviews.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from webhook.core import coverage, images
from webhook.core.concerns import Concern, concerns
from webhook.core.coverage import Coverage
from webhook.core.keyring import MAX_BYTES, MAX_ENTRIES, Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import (
    ADOPT_ANNOTATION,
    ARGOCD_ANNOTATIONS,
    COVERS_ALL,
    COVERS_ANNOTATION,
    MANAGED_BY_LABEL,
    MANAGED_BY_VALUE,
    PATTERNS_ANNOTATION,
    PULL_SECRET_KEYS,
    SECRET_TYPE,
    SOURCE_ANNOTATION,
)
from webhook.core.ownership import Secret, is_ours
from webhook.core.patterns import ImagePatterns
from webhook.core.vocabulary import CentralFault, Reason

_SMALL_BYTES: Final = 4 * 1024
_SMALL_REMEMBERED: Final = 64
_LARGE_REMEMBERED: Final = 4
"""Keyrings remembered of contents up to `_SMALL_BYTES`, and of larger ones. One takes up to 50 times its content if it
is small, and 1.1 MiB at most (measured): 20 MiB for all, whatever tenants write."""


def read(secret_type: str, payload: bytes) -> Keyring:
    """Read a Secret's credentials as the kubelet does; none for a type the kubelet does not look into.

    Args:
        secret_type: The Secret's ``type``.
        payload: Value of the type's key; empty if it is not there.

    Raises:
        MalformedSecret: The kubelet would refuse it.
        SecretTooLarge: It is over a bound, so that it was not read.
    """
    if secret_type not in PULL_SECRET_KEYS:
        return Keyring(endpoints=(), default=())
    found = _read(secret_type, payload)
    if isinstance(found, Keyring):
        return found
    # One error serves many; what its traceback holds would stay for as long.
    raise found.with_traceback(None)


def central_fault(
    secret_type: str, payload: bytes, patterns: ImagePatterns, repositories: Sequence[str] = ()
) -> CentralFault | None:
    """Say why a central secret must not be copied; `None` if it is good.

    Args:
        secret_type: As for `read`.
        payload: As for `read`.
        patterns: Which images are selected.
        repositories: As for `fault`.

    First row that fits:

    | central secret | fault |
    |---|---|
    | of another type than copies have | wrong_type |
    | over a bound (`read`) | too_large |
    | the kubelet cannot read it | malformed |
    | no credential in it at all | empty_credential |
    | an entry for selected images without user name or password: an unset variable | empty_credential |
    | covers nothing that is selected, as images are usually written (`images.written_plainly`) | no_entry_for_image |
    | none of the repositories | as `fault` |
    """
    if secret_type != SECRET_TYPE:
        return CentralFault.WRONG_TYPE
    wrong = _remembered_central_fault(payload, patterns)
    if wrong is not None or not repositories:
        return wrong
    for_these = fault(secret_type, payload, repositories)
    # What is wrong with any pull secret can be wrong with this one.
    return CentralFault(for_these.value) if for_these is not None else None


def _central_content_fault(payload: bytes, patterns: ImagePatterns) -> CentralFault | None:
    keyring = _read(SECRET_TYPE, payload)
    if not isinstance(keyring, Keyring):
        return CentralFault(_fault_of(keyring).value)
    parts = coverage.cover(keyring, patterns)
    if not keyring.has_credentials or any(part.half_filled for part in parts):
        return CentralFault.EMPTY_CREDENTIAL
    # An image may be written `GHCR.IO/x`, so such an entry covers some; as good as none is written so.
    plain = (each for each in keyring.endpoints if images.written_plainly(each.location.host))
    covered = coverage.overall(coverage.cover(replace(keyring, endpoints=tuple(plain)), patterns))
    return CentralFault.NO_ENTRY_FOR_IMAGE if covered is Coverage.NONE else None


def covers_all(payload: bytes, patterns: ImagePatterns) -> bool:
    """Return whether a pull secret of a copy's type covers every selected image (see `webhook.core.coverage`)."""
    return _remembered_covers_all(payload, patterns)


def _content_covers_all(payload: bytes, patterns: ImagePatterns) -> bool:
    keyring = _read(SECRET_TYPE, payload)
    return isinstance(keyring, Keyring) and coverage.overall(coverage.cover(keyring, patterns)) is Coverage.ALL


def concerns_of(secret_type: str, payload: bytes, patterns: ImagePatterns) -> tuple[Concern, ...]:
    """Name what is doubtful in a pull secret; nothing where it cannot be read."""
    if secret_type not in PULL_SECRET_KEYS:
        return ()
    keyring = _read(secret_type, payload)
    return concerns(keyring, patterns) if isinstance(keyring, Keyring) else ()


def fault(secret_type: str, payload: bytes, repositories: Sequence[str] = ()) -> Reason | None:
    """Say why a pull secret is of no use; `None` if it is good.

    Args:
        secret_type: As for `read`.
        payload: As for `read`.
        repositories: What it is needed for. It is good if it has a credential for one of them: a workload may also
            pull images that another secret covers. Without any, one entry with a credential is enough.
    """
    if secret_type not in PULL_SECRET_KEYS:
        return Reason.WRONG_TYPE
    if len(payload) > _SMALL_BYTES:
        return _content_fault(secret_type, payload, tuple(repositories))
    return _remembered_fault(secret_type, payload, tuple(repositories))


def _content_fault(secret_type: str, payload: bytes, repositories: tuple[str, ...]) -> Reason | None:
    keyring = _read(secret_type, payload)
    if not isinstance(keyring, Keyring):
        return _fault_of(keyring)
    if not repositories:
        return None if keyring.has_credentials else Reason.EMPTY_CREDENTIAL
    found = keyring.lookup_each(repositories).values()
    if not any(found):
        return Reason.NO_ENTRY_FOR_IMAGE
    if all(credential.is_empty for credentials in found for credential in credentials):
        return Reason.EMPTY_CREDENTIAL
    return None


def _fault_of(error: MalformedSecret | SecretTooLarge) -> Reason:
    return Reason.TOO_LARGE if isinstance(error, SecretTooLarge) else Reason.MALFORMED


_Read = Keyring | MalformedSecret | SecretTooLarge


def _read(secret_type: str, payload: bytes) -> _Read:
    """Read a content, or remember how it was read: within a review, and nearly always between two, once is enough."""
    if len(payload) > MAX_BYTES:
        return SecretTooLarge(f"{MAX_BYTES} bytes")
    return (_remembered_large if len(payload) > _SMALL_BYTES else _remembered_small)(secret_type, payload)


def _read_content(secret_type: str, payload: bytes) -> _Read:
    try:
        return Keyring.from_secret(secret_type, payload, max_entries=MAX_ENTRIES)
    except (MalformedSecret, SecretTooLarge) as error:
        return error.with_traceback(None)


_remembered_small = functools.lru_cache(maxsize=_SMALL_REMEMBERED)(_read_content)
_remembered_large = functools.lru_cache(maxsize=_LARGE_REMEMBERED)(_read_content)
_remembered_fault = functools.lru_cache(maxsize=256)(_content_fault)
# There is one central secret; a few contents are on their way while it is changed.
_remembered_central_fault = functools.lru_cache(maxsize=4)(_central_content_fault)
_remembered_covers_all = functools.lru_cache(maxsize=4)(_content_covers_all)


def desired(namespace: str, central: Secret, patterns: ImagePatterns, existing: Secret | None = None) -> Secret:
    """Say what the copy of a central secret looks like in a namespace.

    Only the credentials are carried over: no label or annotation of the source, no other key. What other tools wrote on
    an existing copy stays, and so does its identity; the marks that it covers every selected image come and go with the
    credentials, in one write. A request to adopt it is answered with the name of who did.
    """
    marks = {
        **(existing.marks if existing else {}),
        MANAGED_BY_LABEL: MANAGED_BY_VALUE,
        SOURCE_ANNOTATION: central.reference,
        **ARGOCD_ANNOTATIONS,
    }
    covers, of_patterns = _coverage_of(central, patterns)
    for mark, value in ((COVERS_ANNOTATION, covers), (PATTERNS_ANNOTATION, of_patterns)):
        if value is None:
            marks.pop(mark, None)
        else:
            marks[mark] = value
    if existing is not None and not is_ours(existing, central.namespace):
        marks[ADOPT_ANNOTATION] = central.reference
    return Secret(
        namespace=namespace,
        payload=central.payload,
        marks=marks,
        immutable=existing.immutable if existing else False,
        given_away=existing.given_away if existing else False,
        written_by_us=True,
        uid=existing.uid if existing else "",
        resource_version=existing.resource_version if existing else "",
    )


def is_current(existing: Secret, central: Secret, patterns: ImagePatterns) -> bool:
    """Return whether `desired` would change nothing; nearly every review asks this, so nothing is built for it."""
    marks = existing.marks
    return (
        existing.type == SECRET_TYPE
        and not existing.extra_keys
        and existing.payload == central.payload
        and marks.get(SOURCE_ANNOTATION) == central.reference
        and all(marks.get(key) == value for key, value in ARGOCD_ANNOTATIONS.items())
        and (marks.get(COVERS_ANNOTATION), marks.get(PATTERNS_ANNOTATION)) == _coverage_of(central, patterns)
    )


def _coverage_of(central: Secret, patterns: ImagePatterns) -> tuple[str, str] | tuple[None, None]:
    """Give the values of `COVERS_ANNOTATION` and `PATTERNS_ANNOTATION`; neither is on a copy that leaves a gap."""
    if covers_all(central.payload or b"", patterns):
        return COVERS_ALL, patterns.digest
    return None, None
