"""A stand-in Kubernetes API server for tests and the demo; README.md says what it is not."""

from standin.faults import Match
from standin.server import ApiServer

__all__ = ["ApiServer", "Match"]
