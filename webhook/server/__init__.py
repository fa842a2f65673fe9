"""The webhook as a process: Flask app, gunicorn, TLS, and the listener for probes and metrics."""
