"""HTTPS adapter for registries and GitHub's API."""

from webhook.registry.client import HttpsRegistry

__all__ = ["HttpsRegistry"]
