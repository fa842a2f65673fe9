"""What the API server makes of a webhook's HTTP answer: a verified response, or the recorded error text.

Texts are those of client-go's decoding and of the admission plugin's checks, recorded in
``webhook-transcripts.jsonl`` where a recording exists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from standin.admission.transport import HookAnswer

REVIEW_KIND = ("admission.k8s.io/v1", "AdmissionReview")
_META_TYPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
# client-go's sentence for a failure without a Status body, by HTTP code (NewGenericServerResponse).
_SENTENCES = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_BODY_IS_SENTENCE = frozenset({403, 406, 415})


class CallError(Exception):
    """A webhook that gave no usable decision: `failurePolicy` says what follows."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDecision:
    """A webhook's verified answer.

    Attributes:
        allowed: Whether the request may go on.
        status: The webhook's own Status for a denial, or None.
        warnings: Texts for the user.
        audit_annotations: Keys without the webhook's name.
        patch: JSON Patch operations, of a mutating webhook only.
    """

    allowed: bool
    status: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = field(default_factory=dict)
    patch: str | None = None


def decode(answer: HookAnswer) -> dict[str, Any]:
    """Return the JSON object of a successful answer.

    Raises:
        CallError: For any other status than 2xx, or a body that is no Kubernetes object.
    """
    if not 200 <= answer.status <= 206:
        raise CallError(f"failed to call webhook: {_failure_text(answer)}")
    if not answer.body:
        raise CallError(
            "failed to call webhook: 0-length response with status code: "
            f"{answer.status} and content type: {answer.content_type}"
        )
    try:
        data = json.loads(answer.body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CallError(
            f"failed to call webhook: couldn't get version/kind; json parse error: {_syntax_text(answer.body, error)}"
        ) from error
    if not isinstance(data, dict):
        raise CallError(
            "failed to call webhook: couldn't get version/kind; json parse error: "
            f"json: cannot unmarshal {_json_type(data)} into Go value of type {_META_TYPE}"
        )
    for key, label in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not data.get(key):
            text = answer.body.decode("utf-8", "replace").strip()
            raise CallError(f"failed to call webhook: Object '{label}' is missing in '{text}'")
    return data


def verify(review: dict[str, Any], *, uid: str, mutating: bool) -> HookDecision:
    """Check a decoded AdmissionReview as the API server does.

    Raises:
        CallError: When the review answers another uid, carries a patch where none may be, or holds no response.
    """
    kind = (review.get("apiVersion"), review.get("kind"))
    if kind != REVIEW_KIND:
        raise _invalid(
            f"expected webhook response of {REVIEW_KIND[0]}, Kind={REVIEW_KIND[1]}, got {kind[0]}, Kind={kind[1]}"
        )
    response = review.get("response")
    if response is None:
        raise _invalid("webhook response was absent")
    _check_types(response)
    if response.get("uid", "") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    patch, patch_type = response.get("patch") or None, response.get("patchType")
    if mutating:
        if patch and patch_type is None:
            raise _invalid("webhook returned response.patch but not response.patchType")
        if not patch and patch_type is not None:
            raise _invalid("webhook returned response.patchType but not response.patch")
        if patch and patch_type != "JSONPatch":
            raise _invalid(f'webhook returned invalid response.patchType of "{patch_type}"')
    elif patch:
        raise _invalid("validating webhook may not return response.patch")
    elif patch_type is not None:
        raise _invalid("validating webhook may not return response.patchType")
    return HookDecision(
        allowed=response.get("allowed", False),
        status=response.get("status"),
        warnings=tuple(response.get("warnings") or ()),
        audit_annotations=dict(response.get("auditAnnotations") or {}),
        patch=patch,
    )


def denial(webhook_name: str, status: dict[str, Any] | None) -> dict[str, Any]:
    """Turn a webhook's refusal into the Status a user gets.

    A denial without a code of 400 or more gets 400, and its text always begins with the webhook's name.
    """
    given = dict(status or {})
    code = given.get("code") or 0
    prefix = f'admission webhook "{webhook_name}" denied the request'
    reason_text = given.get("message") or given.get("reason")
    result: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": given.get("metadata") or {},
        "status": given["status"] if given.get("status") not in {None, "", "Success"} else "Failure",
        "message": f"{prefix}: {reason_text}" if reason_text else f"{prefix} without explanation",
    }
    if given.get("reason"):
        result["reason"] = given["reason"]
    if given.get("details"):
        result["details"] = given["details"]
    result["code"] = max(code, 400) if code >= 400 else 400
    return result


def _invalid(text: str) -> CallError:
    return CallError(f"received invalid webhook response: {text}")


_RESPONSE_TYPES: tuple[tuple[str, type, str], ...] = (
    ("uid", str, "types.UID"),
    ("allowed", bool, "bool"),
    ("status", dict, "v1.Status"),
    ("patch", str, "[]uint8"),
    ("patchType", str, "v1.PatchType"),
    ("auditAnnotations", dict, "map[string]string"),
    ("warnings", list, "[]string"),
)


def _check_types(response: Any) -> None:
    """Refuse a response whose fields have other JSON types than the Go structure it is decoded into."""
    if not isinstance(response, dict):
        raise CallError(
            f"failed to call webhook: json: cannot unmarshal {_json_type(response)} into Go struct field "
            "AdmissionReview.response of type v1.AdmissionResponse"
        )
    for name, wanted, go_type in _RESPONSE_TYPES:
        value = response.get(name)
        if value is not None and not isinstance(value, wanted):
            raise CallError(
                f"failed to call webhook: json: cannot unmarshal {_json_type(value)} into Go struct field "
                f"AdmissionResponse.response.{name} of type {go_type}"
            )


def _failure_text(answer: HookAnswer) -> str:
    try:
        status = json.loads(answer.body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status" and status.get("status") == "Failure":
        return str(status.get("message", ""))
    # Only text is quoted back; client-go takes an absent Content-Type for text.
    is_text = not answer.content_type or answer.content_type.startswith("text/")
    body = answer.body.decode("utf-8", "replace").strip() if is_text else "unknown"
    if answer.status in _BODY_IS_SENTENCE:
        return body
    if answer.status in _SENTENCES:
        return _SENTENCES[answer.status]
    if answer.status >= 500:
        return (
            f"an error on the server ({json.dumps(body, ensure_ascii=False)}) has prevented the request from succeeding"
        )
    return f"the server responded with the status code {answer.status} but did not return more information"


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case None:
            return "null"
        case _:
            return "object"


def _syntax_text(body: bytes, error: json.JSONDecodeError | UnicodeDecodeError) -> str:
    text = body.decode("utf-8", "replace")
    position = error.pos if isinstance(error, json.JSONDecodeError) else error.start
    if position >= len(text.rstrip()):
        return "unexpected end of JSON input"
    return f"invalid character '{text[position]}' looking for beginning of value"
