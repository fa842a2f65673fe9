"""Webhook server process: Flask app, gunicorn, TLS, probes and metrics."""
