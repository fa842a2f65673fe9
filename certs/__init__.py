"""TLS certificates for a webhook: made, renewed and published before they expire."""
