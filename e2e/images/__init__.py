"""The images of the project and of its end-to-end cluster, built into archives on this machine."""

from e2e.images.archives import UnknownTargetError, build, prune
from e2e.images.targets import TARGETS, Target

__all__ = ["TARGETS", "Target", "UnknownTargetError", "build", "prune"]
