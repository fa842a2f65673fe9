"""Registries and GitHub's API over HTTPS: the adapter behind `webhook.ports.Registry`."""

from webhook.registry.client import HttpsRegistry

__all__ = ["HttpsRegistry"]
