"""Validation of objects, new ones and changes, with the texts of `k8s.io/kubernetes/pkg/apis/*/validation`."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson

from standin.errors import FieldError
from standin.gojson import json_error, pod_spec_diff, pod_template
from standin.interfaces import Json, ResourceInfo
from standin.store import json_equal

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
MAX_SECRET_BYTES = 1024 * 1024
_POD_UPDATE_TEXT = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
IMMUTABLE = "field is immutable"


def quoted(value: Any) -> str:
    """Render a value as field errors do: strings in quotes, the rest as JSON."""
    return orjson.dumps(value).decode()


def required(field: str, text: str = "") -> FieldError:
    """`Required value`."""
    return FieldError(
        reason="FieldValueRequired", message=f"Required value: {text}" if text else "Required value", field=field
    )


def bad_value(field: str, value: Any, text: str) -> FieldError:
    """`Invalid value`."""
    return FieldError(reason="FieldValueInvalid", message=f"Invalid value: {quoted(value)}: {text}", field=field)


def _unsupported(field: str, value: Any, supported: tuple[str, ...]) -> FieldError:
    listed = ", ".join(quoted(item) for item in sorted(supported))
    text = f"Unsupported value: {quoted(value)}: supported values: {listed}"
    return FieldError(reason="FieldValueNotSupported", message=text, field=field)


_LABEL_NAMED = frozenset({"namespaces", "services"})
_PATH_NAMED = frozenset(
    {"roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
     "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"}
)  # fmt: skip


def _name(resource: ResourceInfo, name: str) -> Iterator[FieldError]:
    if resource.key in _PATH_NAMED:
        if "/" in name or "%" in name or name in {".", ".."}:
            yield bad_value("metadata.name", name, "may not contain '/'")
    elif resource.key in _LABEL_NAMED:
        if not _LABEL.fullmatch(name):
            yield bad_value("metadata.name", name, _LABEL_TEXT)
        if len(name) > 63:
            yield bad_value("metadata.name", name, "must be no more than 63 bytes")
    else:
        if not _SUBDOMAIN.fullmatch(name):
            yield bad_value("metadata.name", name, _SUBDOMAIN_TEXT)
        if len(name) > 253:
            yield bad_value("metadata.name", name, "must be no more than 253 bytes")


def _labels(labels: Json, path: str) -> Iterator[FieldError]:
    for key, value in labels.items():
        if not _QUALIFIED.fullmatch(key.rpartition("/")[2]):
            yield bad_value(path, key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
        if not _LABEL_VALUE.fullmatch(value):
            yield bad_value(path, value, _LABEL_VALUE_TEXT)
        elif len(value) > 63:
            yield bad_value(path, value, "must be no more than 63 bytes")


def create_errors(resource: ResourceInfo, obj: Json) -> list[FieldError]:
    """Return what is wrong with an object by itself."""
    metadata = obj["metadata"]
    errors = list(_name(resource, metadata["name"]))
    errors += _labels(metadata.get("labels") or {}, "metadata.labels")
    match resource.key:
        case "secrets":
            errors += _secret(obj)
        case "pods":
            errors += _pod_spec(obj["spec"], "spec")
        case "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps":
            errors += _selector_of_template(obj["spec"])
            errors += _template(obj["spec"].get("template") or {}, "spec.template", ("Always",))
        case "replicationcontrollers":
            errors += _template(obj["spec"].get("template") or {}, "spec.template", ("Always",))
        case "jobs.batch":
            errors += _template(obj["spec"]["template"], "spec.template", ("Never", "OnFailure"))
        case "cronjobs.batch":
            if not obj["spec"].get("schedule"):
                errors.append(required("spec.schedule"))
            path = "spec.jobTemplate.spec.template"
            errors += _template(obj["spec"]["jobTemplate"]["spec"]["template"], path, ("Never", "OnFailure"))
        case _:
            pass
    return errors


def _secret(obj: Json) -> Iterator[FieldError]:
    data = obj.get("data") or {}
    for key in data:
        if not _SECRET_KEY.fullmatch(key):
            text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            yield bad_value(f"data[{key}]", key, text)
    if sum(len(value) * 3 // 4 for value in data.values()) > MAX_SECRET_BYTES:
        text = f"Too long: may not be more than {MAX_SECRET_BYTES} bytes"
        yield FieldError(reason="FieldValueTooLong", message=text, field="data")
    key = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}.get(
        obj["type"]
    )
    if key is not None:
        field = f"data[{key}]"
        if key not in data:
            yield required(field)
        elif (fault := json_error(base64.b64decode(data[key]))) is not None:
            yield bad_value(field, "<secret contents redacted>", fault)
    if obj["type"] == "kubernetes.io/tls":
        for name in ("tls.crt", "tls.key"):
            if name not in data:
                yield required(f"data[{name}]")


def _template(template: Json, path: str, policies: tuple[str, ...]) -> Iterator[FieldError]:
    spec = template.get("spec") or {}
    yield from _labels((template.get("metadata") or {}).get("labels") or {}, f"{path}.labels")
    yield from _pod_spec(spec, f"{path}.spec")
    if spec.get("restartPolicy") not in policies:
        if len(policies) > 1 and spec.get("restartPolicy") == "Always":
            text = 'Required value: valid values: "OnFailure", "Never"'
            yield FieldError(reason="FieldValueRequired", message=text, field=f"{path}.spec.restartPolicy")
        else:
            yield _unsupported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), policies)


def _pod_spec(spec: Json, path: str) -> Iterator[FieldError]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for listed in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(listed) or ()):
            where = f"{path}.{listed}[{index}]"
            name = container.get("name", "")
            if not name:
                yield required(f"{where}.name")
            elif not _LABEL.fullmatch(name):
                yield bad_value(f"{where}.name", name, _LABEL_TEXT)
            elif name in seen:
                text = f"Duplicate value: {quoted(name)}"
                yield FieldError(reason="FieldValueDuplicate", message=text, field=f"{where}.name")
            seen.add(name)
            image = container.get("image", "")
            if not image and path == "spec":
                yield required(f"{where}.image")
            elif image != image.strip():
                yield bad_value(f"{where}.image", image, "must not have leading or trailing whitespace")
            if container.get("imagePullPolicy") not in {"Always", "IfNotPresent", "Never"}:
                policies = ("Always", "IfNotPresent", "Never")
                yield _unsupported(f"{where}.imagePullPolicy", container.get("imagePullPolicy"), policies)
            for mount_index, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes and path == "spec":
                    text = f"Not found: {quoted(mount.get('name', ''))}"
                    yield FieldError(
                        reason="FieldValueNotFound", message=text, field=f"{where}.volumeMounts[{mount_index}].name"
                    )
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never"}:
        yield _unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "Never", "OnFailure"))


def _selector_of_template(spec: Json) -> Iterator[FieldError]:
    selector = spec.get("selector")
    if not selector:
        yield required("spec.selector")
        return
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        yield bad_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def update_errors(resource: ResourceInfo, old: Json, new: Json, subresource: str) -> list[FieldError]:
    """Return which changes are not allowed."""
    if subresource in {"status", "ephemeralcontainers", "resize", "approval"}:
        return []
    errors: list[FieldError] = []
    match resource.key:
        case "secrets" | "configmaps":
            if new.get("type") != old.get("type"):
                errors.append(bad_value("type", new.get("type"), IMMUTABLE))
            if old.get("immutable"):
                errors += _sealed(old, new)
        case "pods":
            errors += _pod_change(old["spec"], new["spec"])
        case "jobs.batch":
            errors += _job_change(old["spec"], new["spec"])
        case "deployments.apps" | "replicasets.apps" | "daemonsets.apps":
            if not json_equal(new["spec"].get("selector"), old["spec"].get("selector")):
                errors.append(bad_value("spec.selector", new["spec"].get("selector"), IMMUTABLE))
        case "statefulsets.apps":
            errors += _stateful_set_change(old["spec"], new["spec"])
        case "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io":
            if new.get("roleRef") != old.get("roleRef"):
                errors.append(bad_value("roleRef", new.get("roleRef"), "cannot change roleRef"))
        case _:
            pass
    return errors


def _sealed(old: Json, new: Json) -> Iterator[FieldError]:
    for field in ("data", "binaryData"):
        if new.get(field) != old.get(field):
            text = "Forbidden: field is immutable when `immutable` is set"
            yield FieldError(reason="FieldValueForbidden", message=text, field=field)
    if not new.get("immutable"):
        text = "Forbidden: field is immutable when `immutable` is set"
        yield FieldError(reason="FieldValueForbidden", message=text, field="immutable")


def _pod_change(old: Json, new: Json) -> Iterator[FieldError]:
    """Compare with all that may change made equal to the old."""
    if len(old["containers"]) != len(new.get("containers") or ()):
        yield FieldError(
            reason="FieldValueForbidden",
            message="Forbidden: pod updates may not add or remove containers",
            field="spec.containers",
        )
        return
    comparable = dict(new)
    for listed in ("containers", "initContainers"):
        if old.get(listed) and new.get(listed) and len(old[listed]) == len(new[listed]):
            pairs = zip(new[listed], old[listed], strict=True)
            comparable[listed] = [{**item, "image": before.get("image", "")} for item, before in pairs]
    for free in ("activeDeadlineSeconds", "schedulingGates"):
        comparable.pop(free, None)
        if free in old:
            comparable[free] = old[free]
    earlier, tolerations = old.get("tolerations") or [], new.get("tolerations") or []
    if all(item in tolerations for item in earlier):
        comparable.pop("tolerations", None)
        if earlier:
            comparable["tolerations"] = earlier
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        comparable["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    if not json_equal(comparable, old):
        message = _POD_UPDATE_TEXT + pod_spec_diff(old, comparable)
        yield FieldError(reason="FieldValueForbidden", message=message, field="spec")


def _job_change(old: Json, new: Json) -> Iterator[FieldError]:
    for field in ("completions",):
        if new.get(field) != old.get(field) and new.get("completionMode") != "Indexed":
            yield bad_value(f"spec.{field}", new.get(field), IMMUTABLE)
    if not json_equal(new.get("selector"), old.get("selector")):
        yield bad_value("spec.selector", new.get("selector"), IMMUTABLE)
    if not json_equal(new["template"], old["template"]):
        message = f"Invalid value: {pod_template(new['template'])}: {IMMUTABLE}"
        yield FieldError(reason="FieldValueInvalid", message=message, field="spec.template")


_STATEFUL_MUTABLE = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)


def _stateful_set_change(old: Json, new: Json) -> Iterator[FieldError]:
    fixed_old = {key: value for key, value in old.items() if key not in _STATEFUL_MUTABLE}
    fixed_new = {key: value for key, value in new.items() if key not in _STATEFUL_MUTABLE}
    if not json_equal(fixed_old, fixed_new):
        text = (
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        yield FieldError(reason="FieldValueForbidden", message=text, field="spec")


def warnings(resource: ResourceInfo, obj: Json) -> list[str]:
    """Return the warnings a client gets for an object that is accepted."""
    specs = {"pods": ("spec", obj.get("spec")), **{
        key: ("spec.template.spec", ((obj.get("spec") or {}).get("template") or {}).get("spec"))
        for key in ("deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "replicationcontrollers")
    }}  # fmt: skip
    path, spec = specs.get(resource.key, ("", None))
    found: list[str] = []
    seen: set[str] = set()
    for index, entry in enumerate((spec or {}).get("imagePullSecrets") or ()):
        name = entry.get("name", "")
        if not name:
            found.append(f'{path}.imagePullSecrets[{index}].name: invalid empty name ""')
        elif name in seen:
            found.append(f"{path}.imagePullSecrets[{index}].name: duplicate name {quoted(name)}")
        seen.add(name)
    return found
