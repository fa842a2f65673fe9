"""A stand-in Kubernetes API server for tests and the demo; README.md says what it is not."""
