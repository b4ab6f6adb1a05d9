"""A real Kubernetes cluster with three nodes in three zones, made by kind or as plain processes."""

from e2e.cluster.choice import choose
from e2e.cluster.context import ContextError
from e2e.cluster.provider import ZONES, Cluster, ClusterError, ClusterStatus, NodeStatus

__all__ = ["ZONES", "Cluster", "ClusterError", "ClusterStatus", "ContextError", "NodeStatus", "choose"]
