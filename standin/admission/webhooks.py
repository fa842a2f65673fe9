"""Dispatch to webhooks: in which order they are asked, and what their answers do to the request."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import urllib.parse
import uuid
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from standin.admission import json_patch, replies, review
from standin.admission.equality import semantically_equal
from standin.admission.reinvocation import Reinvocation
from standin.admission.rules import RuleTarget
from standin.admission.selection import MUTATING, VALIDATING, Hook, Selection
from standin.admission.transport import HookEndpoint, Transport, TransportError
from standin.errors import ApiError, bad_request, internal
from standin.interfaces import Attributes, Cluster, Json, Operation

DEFAULT_TIMEOUT_SECONDS = 10
RECORDS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a webhook, for tests and the demo to look at.

    Attributes:
        configuration, webhook: Names.
        mutating: Which half.
        round: 0, or 1 for a reinvocation.
        operation, resource, namespace, name: Of the request.
        audit_annotations: As the audit log would hold them: keys begin with the webhook's name.
        error: Why the call gave no decision, or None.
    """

    configuration: str
    webhook: str
    mutating: bool
    round: int
    operation: Operation
    resource: str
    namespace: str
    name: str
    audit_annotations: tuple[tuple[str, str], ...] = ()
    error: str | None = None


class WebhookDispatcher:
    """Calls the webhooks registered in a cluster's store."""

    def __init__(self, cluster: Cluster, transport: Transport | None = None) -> None:
        self._cluster = cluster
        self._selection = Selection(cluster)
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=RECORDS_KEPT)
        self.transport = transport or Transport()

    @property
    def calls(self) -> list[Call]:
        """The latest calls, oldest first."""
        with self._lock:
            return list(self._calls)

    def mutate(self, attributes: Attributes, obj: Json | None, state: Reinvocation) -> tuple[Json | None, list[str]]:
        """Run one round of mutating webhooks, each on what the one before left.

        Raises:
            ApiError: When one denies, or fails under `failurePolicy: Fail`.
        """
        warnings: list[str] = []
        state.begin(obj)
        for hook in self._selection.hooks(MUTATING, attributes):
            form = self._selection.form(hook, attributes, obj)
            if form is None or state.skips(hook.uid):
                continue
            before = obj
            eligible = hook.spec.get("reinvocationPolicy") == "IfNeeded"
            try:
                decision = self._call(hook, attributes, form, obj, mutating=True, round_number=state.round)
                warnings += decision.warnings
                obj = _patched(hook, obj, decision.patch)
            except replies.CallError as error:
                state.ran(hook.uid, changed=False, eligible=eligible)
                _fail(hook, error)
                continue
            state.ran(hook.uid, changed=not semantically_equal(before, obj), eligible=eligible)
        state.end(obj)
        return obj, warnings

    def validate(self, attributes: Attributes) -> list[str]:
        """Ask all validating webhooks, and reject with the first refusal.

        The API server asks them at the same time; here they are asked in turn, but all of them, whatever one says.
        """
        warnings: list[str] = []
        refusals: list[ApiError] = []
        for hook in self._selection.hooks(VALIDATING, attributes):
            form = self._selection.form(hook, attributes, attributes.object)
            if form is None:
                continue
            try:
                warnings += self._call(hook, attributes, form, attributes.object, mutating=False).warnings
            except replies.CallError as error:
                try:
                    _fail(hook, error)
                except ApiError as refusal:
                    refusals.append(refusal)
            except ApiError as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]
        return warnings

    def _call(
        self,
        hook: Hook,
        attributes: Attributes,
        form: RuleTarget,
        obj: Json | None,
        *,
        mutating: bool,
        round_number: int = 0,
    ) -> replies.HookDecision:
        """Call one webhook; raise CallError without a decision and ApiError for a denial."""
        call = Call(
            configuration=hook.configuration,
            webhook=hook.name,
            mutating=mutating,
            round=round_number,
            operation=attributes.operation,
            resource=attributes.resource.key + (f"/{attributes.subresource}" if attributes.subresource else ""),
            namespace=attributes.namespace,
            name=attributes.name,
        )
        try:
            decision = self._decision(hook, attributes, form, obj, mutating=mutating)
        except replies.CallError as error:
            self._record(replace(call, error=error.text))
            raise
        annotations = {f"{hook.name}/{key}": value for key, value in decision.audit_annotations.items()}
        self._record(replace(call, audit_annotations=tuple(annotations.items())))
        if not decision.allowed:
            status = replies.denial(hook.name, decision.status)
            raise ApiError(status["code"], status.get("reason", ""), status["message"], status.get("details"))
        return decision

    def _decision(
        self, hook: Hook, attributes: Attributes, form: RuleTarget, obj: Json | None, *, mutating: bool
    ) -> replies.HookDecision:
        if attributes.dry_run:
            effects = hook.spec.get("sideEffects")
            if effects is None:
                raise replies.CallError("Webhook SideEffects is nil")
            if effects not in {"None", "NoneOnDryRun"}:
                raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        body = json.dumps(review.build(attributes, form, obj, uid=uid), separators=(",", ":"), ensure_ascii=False)
        timeout = hook.spec.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS
        endpoint = self._endpoint(hook)
        try:
            answer = self.transport.post(endpoint, body.encode(), timeout_seconds=timeout)
        except TransportError as error:
            raise replies.CallError(f"failed to call webhook: {error.text}") from error
        return replies.verify(replies.decode(answer), uid=uid, mutating=mutating)

    def _endpoint(self, hook: Hook) -> HookEndpoint:
        client = hook.spec.get("clientConfig") or {}
        bundle = _ca_bundle(client)
        if "url" in client:
            url = urllib.parse.urlsplit(client["url"])
            host, port = url.hostname or "", url.port or 443
            return HookEndpoint(
                authority=url.netloc, address=(host, port), server_name=host, path=url.path or "/", ca_bundle=bundle
            )
        service = client["service"]
        host, port = f"{service['name']}.{service['namespace']}.svc", service.get("port") or 443
        path = service.get("path") or "/"
        try:
            address = self._cluster.resolve_service(service["namespace"], service["name"], port)
        except LookupError as error:
            timeout = hook.spec.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS
            raise replies.CallError(
                f'failed to call webhook: Post "https://{host}:{port}{path}?timeout={timeout}s": '
                f'service "{service["name"]}" not found'
            ) from error
        return HookEndpoint(authority=f"{host}:{port}", address=address, server_name=host, path=path, ca_bundle=bundle)

    def _record(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)


def _ca_bundle(client: Json) -> bytes:
    encoded = client.get("caBundle") or ""
    try:
        bundle = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        bundle = b""
    if encoded and b"-----BEGIN CERTIFICATE-----" not in bundle:
        raise replies.CallError(
            "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block"
        )
    return bundle


def _fail(hook: Hook, error: replies.CallError) -> None:
    """Apply failurePolicy to a webhook that gave no decision."""
    if not hook.ignores_failure:
        raise internal(f'failed calling webhook "{hook.name}": {error.text}') from error


def _patched(hook: Hook, obj: Json | None, patch: str | None) -> Json | None:
    """Apply a webhook's patch.

    One that is not JSON is a failed call; one that does not apply rejects whatever `failurePolicy` says, as in
    kube-apiserver's mutating dispatcher.
    """
    if not patch:
        return obj
    operations = _operations(patch)
    if not operations:
        return obj
    if obj is None:
        raise internal(
            f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this operation'
        )
    try:
        patched: Any = json_patch.apply(obj, operations)
    except json_patch.PatchError as error:
        raise internal(error.text) from error
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata", {}), dict):
        raise internal("json: cannot unmarshal the patched object into Go value of its kind")
    # A webhook that was asked in another version patched that version's form.
    return {**patched, "apiVersion": obj["apiVersion"], "kind": obj["kind"]}


def _operations(patch: str) -> list[Json]:
    try:
        operations = json.loads(base64.b64decode(patch, validate=True))
    except (binascii.Error, ValueError) as error:
        raise replies.CallError(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise replies.CallError(
            "received undecodable patch in webhook response: json: cannot unmarshal into jsonpatch.Patch"
        )
    return operations
