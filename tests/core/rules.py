"""Rules and images of the policy's tests."""

from typing import Any

from tests.objects import RELEASE_NAMESPACE, RULES
from webhook.core.scope import Namespace, Rules

AUTH = Namespace(name="auth")


def with_rules(**changes: Any) -> Rules:
    fields = {"patterns": RULES.patterns, "release_namespace": RELEASE_NAMESPACE}
    return Rules(**{**fields, **changes})
