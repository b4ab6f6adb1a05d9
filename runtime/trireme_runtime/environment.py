"""The launcher's environment, read once and checked: see "Environment" in docs/contract.md."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONTRACT_VERSION = 1

_PORT = (1, 65535)
_SIZE = (1, 1 << 16)
_SIZE_OR_NONE = (0, _SIZE[1])
_SECONDS = (0, 86400)
_LIMIT = (1, 86400)
_SILENCE = (2, 86400)
"""Heartbeats come once a second: a limit of one second would be exceeded between two of them."""
TERMINATION_LOG = "/dev/termination-log"


class Balancing(str, enum.Enum):
    """Who chooses the replica (data parallel rank) that answers a request: ``spec.parallelism.loadBalancing``."""

    INTERNAL = "Internal"
    HYBRID = "Hybrid"
    EXTERNAL = "External"


@dataclass(frozen=True)
class Preflight:
    """``spec.preflight``, when it is on.

    min_bandwidth: GB/s (10^9 bytes), 0 = no lower limit. shared_memory: bytes that /dev/shm should have, 0 = not
    judged. accelerator: the resource that a rank's device is, ``cpu`` for none.
    """

    enforced: bool
    timeout_seconds: int = 120
    min_bandwidth: int = 0
    shared_memory: int = 0
    accelerator: str = "cpu"

    @property
    def mode(self) -> str:
        return "Enforce" if self.enforced else "Warn"


class ContractError(Exception):
    """The pod's environment or command breaks the contract; the message names each variable and the way out."""


@dataclass(frozen=True)
class Environment:
    """What the pod says about itself, its group and its resource; times in seconds."""

    cluster: str
    zone: str
    pod_name: str
    pod_namespace: str
    pod_uid: str
    pod_ip: str
    leader_address: str
    group_size: int
    worker_index: int
    tensor_parallel_size: int
    pipeline_parallel_size: int
    ranks_per_pod: int
    engine_port: int
    launcher_port: int
    master_port: int
    grace_seconds: int
    settle_seconds: int
    termination_log: str = TERMINATION_LOG
    data_parallel_size: int = 1
    data_parallel_port: int = 29550
    balancing: Balancing = Balancing.INTERNAL
    expert_parallel: bool = False
    node_name: str = ""
    preflight: Preflight | None = None
    permit: tuple[str, int] | None = None
    """Host and port of who says whether a group may start."""
    member_silent_seconds: int = 3
    member_lost_seconds: int = 30
    stall_seconds: int = 60
    canary_tokens: int = 1

    @property
    def replica_size(self) -> int:
        """Ranks of one whole copy of the model."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def every_pod_serves(self) -> bool:
        return self.data_parallel_size > 1 and self.balancing is not Balancing.INTERNAL

    @property
    def serves(self) -> bool:
        """Whether the engine of this pod answers HTTP."""
        return self.is_leader or self.every_pod_serves

    @property
    def is_leader(self) -> bool:
        return self.worker_index == 0

    @property
    def role(self) -> str:
        return "leader" if self.is_leader else "worker"


def parse(variables: Mapping[str, str]) -> Environment:
    """The environment as the contract wants it.

    Raises ContractError with every fault found, not only the first.
    """
    reader = _Reader(variables)
    reader.version()
    environment = Environment(
        cluster=reader.text("TRIREME_CLUSTER"),
        zone=reader.text("TRIREME_ZONE", may_be_empty=True),
        pod_name=reader.text("TRIREME_POD_NAME"),
        pod_namespace=reader.text("TRIREME_POD_NAMESPACE"),
        pod_uid=reader.text("TRIREME_POD_UID"),
        pod_ip=reader.text("TRIREME_POD_IP"),
        leader_address=reader.text("LWS_LEADER_ADDRESS"),
        group_size=reader.number("LWS_GROUP_SIZE", _SIZE),
        worker_index=reader.number("LWS_WORKER_INDEX", (0, _SIZE[1])),
        tensor_parallel_size=reader.number("TRIREME_TENSOR_PARALLEL_SIZE", _SIZE),
        pipeline_parallel_size=reader.number("TRIREME_PIPELINE_PARALLEL_SIZE", _SIZE),
        ranks_per_pod=reader.number("TRIREME_RANKS_PER_POD", _SIZE),
        engine_port=reader.number("TRIREME_ENGINE_PORT", _PORT),
        launcher_port=reader.number("TRIREME_LAUNCHER_PORT", _PORT),
        master_port=reader.number("TRIREME_MASTER_PORT", _PORT),
        grace_seconds=reader.number("TRIREME_GRACE_SECONDS", (1, _SECONDS[1])),
        settle_seconds=reader.number("TRIREME_SETTLE_SECONDS", _SECONDS),
        termination_log=variables.get("TRIREME_TERMINATION_LOG", TERMINATION_LOG),
        data_parallel_size=reader.number("TRIREME_DATA_PARALLEL_SIZE", _SIZE, default="1"),
        data_parallel_port=reader.number("TRIREME_DATA_PARALLEL_PORT", _PORT, default="29550"),
        balancing=Balancing(reader.choice("TRIREME_DATA_PARALLEL_BALANCING", [each.value for each in Balancing])),
        expert_parallel=reader.choice("TRIREME_EXPERT_PARALLEL", ["false", "true"]) == "true",
        node_name=variables.get("TRIREME_NODE_NAME", ""),
        preflight=_preflight(reader),
        permit=reader.server("TRIREME_PERMIT_URL"),
        member_silent_seconds=reader.number("TRIREME_MEMBER_SILENT_SECONDS", _SILENCE, default="3"),
        member_lost_seconds=reader.number("TRIREME_MEMBER_LOST_SECONDS", _LIMIT, default="30"),
        stall_seconds=reader.number("TRIREME_STALL_SECONDS", _LIMIT, default="60"),
        canary_tokens=reader.number("TRIREME_CANARY_TOKENS", _SIZE_OR_NONE, default="1"),
    )
    if not reader.faults:
        reader.faults += _inconsistencies(environment)
    if reader.faults:
        raise ContractError("; ".join(reader.faults))
    return environment


def _preflight(reader: _Reader) -> Preflight | None:
    mode = reader.choice("TRIREME_PREFLIGHT", ["Off", "Warn", "Enforce"])
    settings = Preflight(
        enforced=mode == "Enforce",
        timeout_seconds=reader.number("TRIREME_PREFLIGHT_TIMEOUT_SECONDS", (1, _SECONDS[1]), default="120"),
        min_bandwidth=reader.number("TRIREME_PREFLIGHT_MIN_BANDWIDTH", (0, 1 << 16), default="0"),
        shared_memory=reader.number("TRIREME_PREFLIGHT_SHARED_MEMORY", (0, 1 << 60), default="0"),
        accelerator=reader.text("TRIREME_PREFLIGHT_ACCELERATOR", default="cpu"),
    )
    return None if mode == "Off" else settings


class _Reader:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[str] = []

    def version(self) -> None:
        value = self._variables.get("TRIREME_CONTRACT")
        if value != str(CONTRACT_VERSION):
            shown = "missing" if value is None else repr(value)
            self.faults.append(
                f"TRIREME_CONTRACT is {shown}; this launcher speaks contract version {CONTRACT_VERSION}: "
                "install operator and launcher of the same release"
            )

    def text(self, name: str, *, may_be_empty: bool = False, default: str | None = None) -> str:
        value = self._variables.get(name, default)
        if value is None or not (value or may_be_empty):
            shown = "missing" if value is None else "empty"
            self.faults.append(f"{name} is {shown}; expected a text{_setter(name)}")
            return ""
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of the choices, the first where the variable is absent."""
        value = self._variables.get(name, choices[0])
        if value in choices:
            return value
        self.faults.append(f"{name} is {value!r}; expected {' or '.join(choices)}{_setter(name)}")
        return choices[0]

    def server(self, name: str) -> tuple[str, int] | None:
        """Host and port of a URL without a path; None where the variable is absent."""
        value = self._variables.get(name)
        if value is None:
            return None
        host, _, port = value.removeprefix("http://").partition(":")
        if value.startswith("http://") and host and "/" not in host and port.isascii() and port.isdigit():
            return host, int(port)
        self.faults.append(f"{name} is {value!r}; expected http://HOST:PORT{_setter(name)}")
        return None

    def number(self, name: str, limits: tuple[int, int], *, default: str | None = None) -> int:
        value = self._variables.get(name, default)
        low, high = limits
        # str.isdigit takes digits of other scripts, which int() would take as well: only ASCII is meant.
        if value is not None and value.isascii() and value.isdigit() and low <= int(value) <= high:
            return int(value)
        shown = "missing" if value is None else repr(value)
        self.faults.append(f"{name} is {shown}; expected a whole number from {low} to {high}{_setter(name)}")
        return low


def _setter(name: str) -> str:
    who = "LeaderWorkerSet" if name.startswith("LWS_") else "the operator"
    return f", set by {who}"


def _inconsistencies(environment: Environment) -> list[str]:
    faults = []
    if environment.worker_index >= environment.group_size:
        faults.append(
            f"LWS_WORKER_INDEX is {environment.worker_index}; expected less than LWS_GROUP_SIZE, "
            f"which is {environment.group_size}"
        )
    if environment.member_lost_seconds <= environment.member_silent_seconds:
        faults.append(
            f"TRIREME_MEMBER_LOST_SECONDS is {environment.member_lost_seconds}; expected more than"
            f" TRIREME_MEMBER_SILENT_SECONDS, which is {environment.member_silent_seconds}"
        )
    have = environment.ranks_per_pod * environment.group_size
    want = environment.replica_size * environment.data_parallel_size
    if have != want:
        faults.append(
            f"TRIREME_RANKS_PER_POD x LWS_GROUP_SIZE is {environment.ranks_per_pod} x {environment.group_size}"
            f" = {have}; "
            "expected TRIREME_TENSOR_PARALLEL_SIZE x TRIREME_PIPELINE_PARALLEL_SIZE x TRIREME_DATA_PARALLEL_SIZE"
            f" = {want}"
        )
    if environment.every_pod_serves and environment.ranks_per_pod % environment.replica_size:
        faults.append(
            f"TRIREME_RANKS_PER_POD is {environment.ranks_per_pod}; {environment.balancing.value} load balancing wants"
            f" whole replicas of {environment.replica_size} ranks in each pod"
        )
    return faults
