"""Pod JSON checked for volumes and variables from `ghcr-secret`."""

import msgspec

from webhook.cluster import wire
from webhook.cluster.wire import Content
from webhook.core.names import SECRET_NAME
from webhook.core.policy import mounts

_NAME = SECRET_NAME.encode()


class _Part(msgspec.Struct, omit_defaults=True, gc=False, rename="camel"):
    """Only what says which Secret is meant; all else is passed over without being built."""


class _Reference(_Part):
    name: str | None = None


class _SecretVolume(_Part):
    secret_name: str | None = None


class _Projection(_Part):
    secret: _Reference | None = None


class _Projected(_Part):
    sources: list[_Projection | None] | None = None


class _Volume(_Part):
    secret: _SecretVolume | None = None
    projected: _Projected | None = None


class _ValueFrom(_Part):
    secret_key_ref: _Reference | None = None


class _Variable(_Part):
    value_from: _ValueFrom | None = None


class _Variables(_Part):
    secret_ref: _Reference | None = None


class _Container(_Part):
    env: list[_Variable | None] | None = None
    env_from: list[_Variables | None] | None = None


class _Spec(_Part):
    containers: list[_Container | None] | None = None
    init_containers: list[_Container | None] | None = None
    ephemeral_containers: list[_Container | None] | None = None
    volumes: list[_Volume | None] | None = None


class _Pod(_Part):
    spec: _Spec | None = None


def mounts_copy(content: Content) -> bool:
    """Return whether a Pod mounts `ghcr-secret` or reads it into variables (`webhook.core.policy`).

    Raises:
        ValueError: It has not the shape of a Pod.
    """
    # Nearly every Pod can be told from its bytes: the API server writes no name with escapes.
    if _NAME not in bytes(content):
        return False
    spec = wire.read(content, _Pod).spec
    return spec is not None and mounts(msgspec.to_builtins(spec), SECRET_NAME)
