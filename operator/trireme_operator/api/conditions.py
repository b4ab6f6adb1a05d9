"""What a status can say: types of conditions, their reasons, and why a zone has its weight."""

from __future__ import annotations

from enum import StrEnum


class ConditionType(StrEnum):
    """The conditions of an InferenceCluster; ``Ready`` sums up the others."""

    ACCEPTED = "Accepted"
    """The spec breaks no rule and all it needs of the cluster's APIs is there."""

    AVAILABLE = "Available"
    """At least one group that traffic is sent to answers."""

    PROGRESSING = "Progressing"
    """Groups are being created, replaced or are not ready yet."""

    ROUTES_PROGRAMMED = "RoutesProgrammed"
    """Each gateway is up and accepted the route, as it is now, and its backends; absent without ``spec.gateway``."""

    AUTOSCALING_ACTIVE = "AutoscalingActive"
    """Every zone's autoscaler reads its metrics and may scale; absent without ``spec.autoscaling``."""

    READY = "Ready"
    """Everything asked for is there: accepted, every group of every zone ready, routes programmed."""


class Reason(StrEnum):
    """Every reason that a condition can carry."""

    # Accepted
    VALID = "Valid"
    """The spec breaks no rule."""
    INVALID_SPEC = "InvalidSpec"
    """A rule is broken; the message names the field and what to write instead."""
    LEADER_WORKER_SET_MISSING = "LeaderWorkerSetMissing"
    """The LeaderWorkerSet API is not installed in the cluster."""
    GATEWAY_API_MISSING = "GatewayAPIMissing"
    """``spec.gateway`` is set and the Gateway API is not installed in the cluster."""
    MODEL_CONFIG_UNREADABLE = "ModelConfigUnreadable"
    """The ConfigMap of ``spec.model.config`` is not there or holds no config.json; groups are brought about all the
    same, only unjudged."""
    POD_MONITOR_API_MISSING = "PodMonitorAPIMissing"
    """``spec.monitoring.podMonitor`` is ``Always`` and the Prometheus Operator is not installed in the cluster."""
    NAME_CONFLICT = "NameConflict"
    """An object of a needed name exists and belongs to something else."""
    MISSING_PERMISSION = "MissingPermission"
    """The operator was not given a right that it needs; the message names the rights."""
    APPLY_FAILED = "ApplyFailed"
    """The API server refused an object; the message is its own."""

    # Available, Progressing, Ready
    ALL_GROUPS_READY = "AllGroupsReady"
    """Every group of every zone is ready."""
    SOME_GROUPS_READY = "SomeGroupsReady"
    """Some groups are ready, others are not."""
    NO_GROUP_READY = "NoGroupReady"
    """No group is ready."""
    SCALED_TO_ZERO = "ScaledToZero"
    """No group is asked for."""
    ROLLING_OUT = "RollingOut"
    """Groups are being replaced by ones of a new revision."""
    STARTING = "Starting"
    """Groups have been created and are not ready yet."""
    DRAINING = "Draining"
    """A zone is being drained or disabled; the message says how far it has come."""
    DRAIN_REFUSED = "DrainRefused"
    """A drain is asked for that the other zones could not bear; the message has the sum and the way out."""
    NODE_MAINTENANCE = "NodeMaintenance"
    """A group is out of rotation, because one of its nodes is about to be emptied; the message has the way out."""
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """A zone's groups did not get ready with a new template in time; the rollout stopped, the other zones are as they
    were. The message names the zone and the cause."""
    ROLLOUT_PAUSED = "RolloutPaused"
    """``rollout.paused`` keeps zones from the template that the spec asks for."""
    STABLE = "Stable"
    """Nothing is being changed."""
    IMAGE_NOT_FOUND = "ImageNotFound"
    """An image of a pod can't be pulled."""
    UNSCHEDULABLE = "Unschedulable"
    """No node takes a pod: none in the zone, or none that its selectors, tolerations and volumes allow."""
    NO_CAPACITY = "NoCapacity"
    """No node that a pod may run on has enough left of a resource; the message names the resource and the zone."""
    SECRET_MISSING = "SecretMissing"  # noqa: S105  (a reason, not a secret)
    """A pod refers to a Secret or ConfigMap that does not exist."""
    POD_FAILING = "PodFailing"
    """A container of a pod ends again and again; the message is the first cause."""
    NODE_LOST = "NodeLost"
    """The node of a pod does not answer any more; the message says what to do."""
    HELD = "Held"
    """A group failed too often and is not started for a while; the message is the first cause and the next try."""

    # RoutesProgrammed
    PROGRAMMED = "Programmed"
    """The gateway accepted the route and resolved its backends."""
    ROUTE_PENDING = "RoutePending"
    """A gateway has said nothing yet about the route as it is now."""
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    """The gateway refused the route; the message is its own."""
    BACKENDS_NOT_RESOLVED = "BackendsNotResolved"
    """The gateway can't resolve a backend of the route; the message is its own."""
    BACKENDS_NOT_AVAILABLE = "BackendsNotAvailable"
    """The gateway finds no endpoint behind a backend that has a weight: that share of the requests fails."""
    HOSTNAME_CONFLICT = "HostnameConflict"
    """Another resource has an older route with the same host name and path; it gets the requests."""
    POLICY_NOT_ACCEPTED = "PolicyNotAccepted"
    """Envoy Gateway refused the BackendTrafficPolicy of ``spec.gateway.policy``; the message is its own."""
    INFERENCE_POOL_MISSING = "InferencePoolMissing"
    """``spec.gateway.endpointPicker`` is set and the InferencePool API is not installed in the cluster: the route leads
    to the zones' Services."""
    INFERENCE_POOL_NOT_ACCEPTED = "InferencePoolNotAccepted"
    """The gateway refused an InferencePool, or does not find its endpoint picker; the message is its own."""
    GATEWAY_NOT_FOUND = "GatewayNotFound"
    """A Gateway of ``spec.gateway.parentRefs`` does not exist."""
    GATEWAY_NOT_PROGRAMMED = "GatewayNotProgrammed"
    """A Gateway of ``spec.gateway.parentRefs`` serves nothing yet; the message is its own."""

    # AutoscalingActive
    AUTOSCALERS_ACTIVE = "AutoscalersActive"
    """Every autoscaler reads its metrics and may scale."""
    AUTOSCALER_PENDING = "AutoscalerPending"
    """An autoscaler exists and nothing has looked at it yet, or it does not exist yet."""
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    """An autoscaler can't read its metrics; the message is its own."""
    METRICS_INCOMPLETE = "MetricsIncomplete"
    """An autoscaler can't read one of several metrics: groups are added, and none is ended."""
    KEDA_MISSING = "KEDAMissing"
    """``spec.autoscaling.source`` is ``KEDA`` and KEDA is not installed in the cluster."""
    AUTOSCALER_BLOCKED = "AutoscalerBlocked"
    """An autoscaler can't read or write the number of groups; the message is its own."""

    # Any condition
    UNKNOWN = "Unknown"
    """Not observed yet."""


class DrainPhase(StrEnum):
    """How far a zone's drain has come."""

    REFUSED = "Refused"
    """It keeps its traffic: the other zones could not take it."""
    MOVING = "Moving"
    """Its share of the traffic is given up."""
    WAITING = "Waiting"
    """Nothing new comes; what runs is waited for."""
    ENDING = "Ending"
    """Its groups end."""
    DRAINED = "Drained"
    """It has no groups."""


class WeightReason(StrEnum):
    """Why a zone has the weight it has."""

    HEALTHY = "Healthy"
    """All groups of the zone are ready: the weight of the spec."""
    PARTLY_READY = "PartlyReady"
    """Some groups of the zone are ready, or others have been so for less than ``failover.dwellSeconds``: the same share
    of the spec's weight."""
    BALANCED = "Balanced"
    """The queue of the zone's ready groups is longer than that of other zones', or was: it has `weightPercent` of the
    share that they would have (`gateway.balancing`)."""
    RETURNING = "Returning"
    """The zone was out of traffic and comes back step by step; `weightPercent` is what it has of its share. At 0 it
    must be well for ``failover.dwellSeconds`` first, and complete a prompt through its Service."""
    NO_READY_GROUP = "NoReadyGroup"
    """No group of the zone is ready, and another zone has one: 0."""
    SILENT = "Silent"
    """No launcher of the zone's leaders answers the operator, and those of another zone do: 0."""
    CANARY_FAILED = "CanaryFailed"
    """The zone was out of traffic, and a completion through its Service has failed since: still 0."""
    DRAINING = "Draining"
    """The zone is being drained: its share is given up step by step, while another zone can take it."""
    ROLLING_OUT = "RollingOut"
    """The zone is about to get another revision: its share is given up step by step, while another zone can take it."""
    NODE_MAINTENANCE = "NodeMaintenance"
    """A node of the zone's only group is about to be emptied: its share is given up step by step, while another zone
    can take it."""
    FAIL_STATIC = "FailStatic"
    """Every zone looks bad, so perhaps only the operator does not see them: the weight is left as it was."""
    NOTHING_READY = "NothingReady"
    """No zone was ever ready, so none is preferred: the weight of the spec."""
    HELD_AT_ZERO = "HeldAtZero"
    """No zone has a ready group, and this one was out of traffic before: still 0."""
    DISABLED = "Disabled"
    """The state of the zone is Disabled: 0."""
    NOT_ASKED_FOR = "NotAskedFor"
    """The spec gives the zone no weight or no groups: 0."""
