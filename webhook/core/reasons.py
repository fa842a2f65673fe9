"""Reason codes of answers, for metrics, logs and texts."""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason of both halves; the value is part of the public interface (metrics, logs, audit annotations)."""

    # Both halves: nothing to judge.
    NOT_APPLICABLE = "not_applicable"
    NO_SELECTED_IMAGE = "no_selected_image"
    OPTED_OUT = "opted_out"
    CONTROLLER_OWNED = "controller_owned"
    UNCHANGED = "unchanged"
    # Mutating half.
    NOT_MUTABLE = "not_mutable"
    ALREADY_LISTED = "already_listed"
    LEFT_TO_POD = "left_to_pod"
    INJECTED = "injected"
    MOUNTED = "mounted"
    # Validating half.
    COVERED = "covered"
    SECRET_MISSING = "secret_missing"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_ENTRY_FOR_IMAGE = "no_entry_for_image"
    EMPTY_CREDENTIAL = "empty_credential"
    NOT_LISTED = "not_listed"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    PROVISIONING_FAILED = "provisioning_failed"
    UNVERIFIABLE = "unverifiable"
    TOO_LARGE = "too_large"
    # Neither: the request could not be read, or we failed.
    BAD_REQUEST = "bad_request"
    ERROR = "error"
