"""Namespaces, ServiceAccounts and pull secrets found in manifests.

A Secret whose content the manifests do not hold (an ExternalSecret's, an encrypted one, one taken on trust) is given a
content that fits the images it is asked for, so that everything else about it is judged as ever.
"""

import base64
import binascii
import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from webhook.check.manifests import Manifest, Unusable
from webhook.core import images
from webhook.core.copies import Secret
from webhook.core.keyring import MAX_BYTES
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL, PULL_SECRET_KEYS, SECRET_TYPE
from webhook.core.ownership import MARKS
from webhook.core.policy import ServiceAccount
from webhook.core.review import Json, kind_of
from webhook.core.scope import Namespace

KINDS: Final = frozenset(
    {("", "Namespace"), ("", "Secret"), ("", "ServiceAccount"), ("external-secrets.io", "ExternalSecret")}
)
"""Group and kind of what is evidence."""

_LABELS: Final = (INJECT_KEY, ENFORCE_LABEL, PROVISION_LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a manifest stands."""

    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSecret:
    """A Secret that will be there.

    Attributes:
        secret: As far as it is known.
        place: Of its manifest, or of its maker's; `None` for one that the command line names.
        trusted: Its content is not known.
    """

    secret: Secret
    place: Position | None = None
    trusted: bool = False

    def for_images(self, repositories: Sequence[str]) -> Secret:
        """Give it as it is judged for images of these repositories."""
        if not self.trusted or self.secret.type not in PULL_SECRET_KEYS:
            return self.secret
        return assumed(self.secret, repositories)


@dataclass(slots=True)
class ManifestEvidence:
    """What the manifests hold.

    Attributes:
        namespaces: By name.
        places: Where those stand.
        accounts: By namespace and name.
        secrets: By namespace and name.
    """

    namespaces: dict[str, Namespace] = field(default_factory=dict)
    places: dict[str, Position] = field(default_factory=dict)
    accounts: dict[tuple[str, str], ServiceAccount] = field(default_factory=dict)
    secrets: dict[tuple[str, str], KnownSecret] = field(default_factory=dict)

    def namespace(self, name: str) -> Namespace:
        """Give a Namespace; one that is in no manifest has no labels."""
        return self.namespaces.get(name) or Namespace(name=name)

    def trust(self, namespace: str, name: str) -> None:
        """Take it that a pull secret is there, whatever the manifests hold."""
        secret = Secret(namespace=namespace, name=name, given_away=True)
        self.secrets[namespace, name] = KnownSecret(secret=secret, trusted=True)

    def add(self, manifest: Manifest, namespace: str) -> None:
        """Take note of a manifest of one of `KINDS`.

        Args:
            manifest: The object.
            namespace: Where it goes if it does not say.

        Raises:
            Unusable: A field is of a kind that no API server takes; its line counts from 0 in the file.
        """
        fields = _Fields(manifest)
        metadata = fields.mapping(manifest.obj, "metadata")
        name = fields.text(metadata, "name", "metadata")
        home = fields.text(metadata, "namespace", "metadata") or namespace
        place = Position(file=manifest.origin.file, line=manifest.line)
        match manifest.kind:
            case "Namespace":
                labels = fields.mapping(metadata, "labels", "metadata")
                ours = [fields.text(labels, key, "metadata", "labels") for key in _LABELS]
                inject, enforce, provision = ours
                self.namespaces[name] = Namespace(name=name, inject=inject, enforce=enforce, provision=provision)
                self.places[name] = place
            case "ServiceAccount":
                listed = (fields.text(entry, "name", "imagePullSecrets") for entry in fields.each("imagePullSecrets"))
                self.accounts[home, name] = ServiceAccount(secrets=tuple(entry for entry in listed if entry))
            case "Secret":
                self.secrets[home, name] = _secret(fields, manifest.obj, metadata, home, name, place)
            case _:
                self._external(fields, manifest.obj, home, name, place)

    def _external(self, fields: "_Fields", obj: Json, home: str, name: str, place: Position) -> None:
        target = fields.mapping(fields.mapping(obj, "spec"), "target", "spec")
        if fields.text(target, "creationPolicy", "spec", "target") in ("Merge", "None"):
            return  # it makes no Secret; who does is not known
        template = fields.mapping(target, "template", "spec", "target")
        made = Secret(
            namespace=home,
            name=fields.text(target, "name", "spec", "target") or name,
            type=fields.text(template, "type", "spec", "target", "template") or "Opaque",
            owned=True,
            owner=f"ExternalSecret {name}",
        )
        self.secrets[home, made.name] = KnownSecret(secret=made, place=place, trusted=True)


def assumed(secret: Secret, repositories: Iterable[str], entries: Sequence[str] = ()) -> Secret:
    """Give a Secret of unknown content one that fits.

    Args:
        secret: Of a type that the kubelet looks into.
        repositories: Of the images it is to fit.
        entries: The registries it is known to have entries for; without any, one for each host of the repositories.
    """
    hosts = dict.fromkeys(entries) or dict.fromkeys(_entry(repository) for repository in repositories)
    return Secret(
        namespace=secret.namespace,
        name=secret.name,
        type=secret.type,
        payload=_assumed_content(tuple(hosts), within_auths=secret.type == SECRET_TYPE),
        marks=secret.marks,
        owned=secret.owned,
        owner=secret.owner,
        given_away=secret.given_away,
    )


@functools.lru_cache(maxsize=256)
def _assumed_content(hosts: tuple[str, ...], *, within_auths: bool) -> bytes:
    auths = {host: {"username": "assumed", "password": "assumed"} for host in hosts}
    return json.dumps({"auths": auths} if within_auths else auths).encode()


def _entry(repository: str) -> str:
    return images.login_server(images.plain_host(repository.partition("/")[0]))


def _secret(fields: "_Fields", obj: Json, metadata: Json, home: str, name: str, place: Position) -> KnownSecret:
    marks = {
        key: value
        for part in ("labels", "annotations")
        for key, value in fields.mapping(metadata, part, "metadata").items()
        if key in MARKS and isinstance(value, str)
    }
    secret_type = fields.text(obj, "type") or "Opaque"
    payload = None
    trusted = "sops" in obj  # encrypted by SOPS, with a key that we do not have
    if not trusted and (key := PULL_SECRET_KEYS.get(secret_type)):
        data, plain = fields.mapping(obj, "data"), fields.mapping(obj, "stringData")
        if key in plain:
            payload = fields.text(plain, key, "stringData").encode()
            trusted = b"${" in payload
        elif key in data:
            encoded = fields.text(data, key, "data")
            trusted = "${" in encoded  # what an envsubst will fill in
            if not trusted:
                payload = fields.decoded(encoded, "data", key)
    too_large = payload is not None and len(payload) > MAX_BYTES
    secret = Secret(
        namespace=home,
        name=name,
        type=secret_type,
        payload=None if trusted or too_large else payload,
        too_large=too_large,
        marks=marks,
        given_away=True,  # somebody applies it
    )
    return KnownSecret(secret=secret, place=place, trusted=trusted)


class _Fields:
    """Reads fields of one manifest; a wrong kind is reported with its line and never with its value."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def mapping(self, holder: Json, key: str, *above: str) -> Json:
        value = holder.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._fault((*above, key), f"expected an object, got {kind_of(value)}")
        return value

    def text(self, holder: Json, key: str, *above: str) -> str:
        value = holder.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._fault((*above, key), f"expected a string, got {kind_of(value)} (put it in quotes)")
        return value

    def each(self, key: str) -> Iterable[Json]:
        value = self._manifest.obj.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            raise self._fault((key,), f"expected an array, got {kind_of(value)}")
        for entry in value:
            if not isinstance(entry, dict | None):
                raise self._fault((key,), f"expected objects, got {kind_of(entry)}")
            yield entry or {}

    def decoded(self, text: str, *path: str) -> bytes:
        try:
            # As Go's decoder: line breaks do not count, every other character does.
            return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError):
            raise self._fault(path, "expected base64; plain text belongs under stringData") from None

    def _fault(self, path: tuple[str, ...], problem: str) -> Unusable:
        return Unusable(self._manifest.line_of(*path) - 1, f"{'.'.join(path)}: {problem}")
