"""TLS for a webhook: make certificates, plan their renewal, keep them. Knows nothing of what the webhook does."""
