"""A stand-in Kubernetes API server for tests and the demo; README.md says what it is not."""

from tests.apiserver.faults import Match
from tests.apiserver.server import ApiServer

__all__ = ["ApiServer", "Match"]
