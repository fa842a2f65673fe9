"""Controllers of the stand-in: what makes ReplicaSets and Pods of Deployments, and what cleans up after them.

`ControllerManager` is what the server starts; `PullFailure` and `Registry` are how a test decides which images pull.
"""

from standin.controllers.kubelet import PullFailure, Registry
from standin.controllers.manager import ControllerManager

__all__ = ["ControllerManager", "PullFailure", "Registry"]
