"""One pod's part in a preflight: it looks at itself, connects to the others, measures when the leader says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trireme_runtime.environment import Environment, Preflight
from trireme_runtime.preflight import local
from trireme_runtime.preflight.measuring import Measuring, interpreter
from trireme_runtime.preflight.ports import Connections, Listener, Target
from trireme_runtime.preflight.report import Check, Exchange, Name, Order, Place, Program

_BUSY = {Program.STARTING, Program.READY, Program.RUNNING}


class Part:
    """Begins at once; ``step`` is called by the main loop and never waits."""

    def __init__(
        self,
        environment: Environment,
        settings: Preflight,
        *,
        command: Sequence[str],
        variables: Mapping[str, str],
        epoch: str,
        leader_address: str,
    ) -> None:
        """``command`` and ``variables``: of the engine; ``epoch``: which preflight; ``leader_address``: an IP."""
        self.epoch = epoch
        self._environment = environment
        self._leader_address = leader_address
        self._own: list[Check] = []
        self._listeners: list[Listener] = []
        self._connections: Connections | None = None
        self._pods: tuple[Place, ...] = ()
        self._order = Order.WAIT
        self._port = self._listen()
        looks = local.looks(environment, settings, command, leader_address)
        self._looking = local.Looking(looks, self._check)
        python = interpreter(command[0], variables.get("PATH"))
        self._measuring = Measuring(environment, settings, python, variables)

    def step(self, now: float, pods: tuple[Place, ...], order: Order) -> None:
        """Go on, as far as the leader's ``pods`` and ``order`` allow."""
        if pods and not self._pods:
            self._pods = pods
        if self._pods and self._connections is None and self._environment.group_size > 1:
            self._connections = Connections(self._targets())
        self._measuring.poll(now)
        if order is self._order:
            return
        self._order = order
        self._close()
        if order is Order.MEASURE and self._measuring.state is Program.READY:
            self._measuring.start(self._pods)
        elif order in {Order.SKIP, Order.STOP}:
            self._measuring.stop()

    def exchange(self, now: float) -> Exchange:
        """What the other launchers have to know."""
        connected = self._connected
        measured = self._order in {Order.SKIP, Order.STOP} or self._measuring.state not in _BUSY
        settled = self._order is not Order.WAIT and measured
        return Exchange(
            epoch=self.epoch,
            port=self._port,
            connected=connected,
            reached=connected and not self._failed_ports(),
            program=self._measuring.state,
            why=self._measuring.why,
            done=settled and self._looking.done(now),
        )

    def checks(self, now: float) -> list[Check]:
        """What was found so far."""
        found = [*self._looking.checks(now), *self._own, *self._ports()]
        # Where the driver was asked too, torch has something to add only when it disagrees.
        asked = any(check.name == Name.DEVICES.value for check in found)
        measured = [
            check
            for check in self._measuring.checks
            if not (asked and check.passed and check.name == Name.DEVICES.value)
        ]
        return found + measured

    def doing(self, now: float) -> str:
        """For people: what this pod is at."""
        if not self._connected:
            return "connecting to the other pods" if self._connections else "waiting for the other pods"
        if self._order is Order.MEASURE and self._measuring.state is Program.RUNNING:
            return "measuring bandwidth"
        if not self._looking.done(now):
            return "looking at this pod"
        if self._order is Order.WAIT and self._measuring.state is Program.STARTING:
            return "starting the measuring processes"
        return "waiting for the other pods"

    def end(self) -> None:
        """Give back the ports and end the processes."""
        self._close()
        self._measuring.stop()

    @property
    def _connected(self) -> bool:
        return self._environment.group_size == 1 or (self._connections is not None and self._connections.done)

    def _listen(self) -> int:
        """Open this pod's port and, on the leader, those on which the ranks will meet; -1 when there is none."""
        environment = self._environment
        if environment.group_size == 1:
            return -1
        own = self._open(0)
        for port in self._rendezvous() if environment.is_leader else []:
            self._open(port)
        return own

    def _open(self, port: int) -> int:
        environment = self._environment
        try:
            listener = Listener(environment.pod_ip, port, self._greeting(environment.pod_name))
        except OSError as error:
            reason = f"port {port} of {environment.pod_ip} cannot be listened on: {error.strerror}"
            self._own.append(self._check(Name.PORTS, reason))
            return -1
        self._listeners.append(listener)
        return listener.port

    def _rendezvous(self) -> list[int]:
        environment = self._environment
        replicas = [environment.data_parallel_port] if environment.data_parallel_size > 1 else []
        return [environment.master_port, *replicas]

    def _greeting(self, pod: str) -> str:
        return f"trireme preflight {self.epoch} {pod}\n"

    def _targets(self) -> list[Target]:
        """The ports of all other pods, and on a worker those on which the leader's ranks will listen."""
        found = []
        for index, place in enumerate(self._pods):
            if index == self._environment.worker_index or place.port < 0:
                continue
            ports = [place.port, *(self._rendezvous() if index == 0 else [])]
            address = self._leader_address if index == 0 else place.address
            found += [Target(place.pod, address, port, self._greeting(place.pod)) for port in ports]
        return found

    def _failed_ports(self) -> list[Check]:
        failed = [] if self._connections is None else list(self._connections.failed.items())
        return [*self._own, *(self._check(Name.PORTS, why, peer=target.pod) for target, why in failed)]

    def _ports(self) -> list[Check]:
        """One check for all ports that are open, or one for each that is not."""
        failed = [check for check in self._failed_ports() if check not in self._own]
        if failed or self._connections is None or not self._connections.done:
            return failed
        total = self._connections.total
        return [self._check(Name.PORTS, "", value=total, unit="ports", threshold=total)]

    def _check(
        self,
        name: Name,
        reason: str,
        *,
        peer: str | None = None,
        value: float | None = None,
        unit: str = "",
        threshold: float | None = None,
    ) -> Check:
        environment = self._environment
        return Check(
            name.value,
            not reason,
            environment.pod_name,
            node=environment.node_name,
            peer=peer,
            value=value,
            unit=unit,
            threshold=threshold,
            reason=reason,
        )

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []
