"""Versions of Kubernetes that are held to, and groups whose kinds are not Kubernetes' own."""

CUSTOM = ("cert-manager.io/", "external-secrets.io/", "monitoring.coreos.com/")
OLDEST, NEWEST = "1.30", "1.37"
