"""The main loop: one thread that waits for signals, reaps, decides and publishes what it knows.

It takes its signals blocked, by ``sigtimedwait``: nothing runs in a handler, and as process 1, for which the
kernel drops signals without a handler, a blocked signal still arrives.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Sequence

from trireme_runtime import (
    __version__,
    command,
    drain,
    limits,
    metrics,
    permit,
    processes,
    ranks,
    restart,
    stage,
    status_metrics,
    termination,
)
from trireme_runtime.engine import Engine
from trireme_runtime.environment import CONTRACT_VERSION, Environment
from trireme_runtime.group import Group
from trireme_runtime.log import say
from trireme_runtime.network import prepare
from trireme_runtime.preflight import metrics as preflight_metrics
from trireme_runtime.preflight.gate import Gate
from trireme_runtime.server import Server
from trireme_runtime.stage import Facts, Stage
from trireme_runtime.status import Status
from trireme_runtime.termination import Cause
from trireme_runtime.watch import EngineWatch

_TICK_SECONDS = 0.1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def block_signals() -> None:
    """Before the first thread: threads inherit the mask, so that only ``sigtimedwait`` gets these signals."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Launcher:
    """One pod's life. ``run`` returns the exit code of the contract."""

    def __init__(self, base_command: Sequence[str], environment: Environment) -> None:
        self._environment = environment
        self._limits = limits.of_grace(
            grace_seconds=environment.grace_seconds, settle_seconds=environment.settle_seconds
        )
        self._network = prepare(os.environ)
        self._command = command.engine_command(base_command, environment, self._limits)
        self._engine: Engine | None = None
        self._engine_code: int | None = None
        self._engine_watch: EngineWatch | None = None
        self._group: Group | None = None
        self._gate = self._make_gate(base_command)
        self._permit = permit.of_pod(environment)
        self._ends_at: float | None = None
        self._served = False
        self._terminated_at: float | None = None
        self._kill_at: float | None = None
        self._idle_since: float | None = None
        self._facts = Facts(obstacle="the launcher starts")
        self._stage = Stage.WAITING
        self._stage_since = time.time()
        self.status = self._snapshot(time.monotonic())

    def _make_gate(self, base_command: Sequence[str]) -> Gate | None:
        settings = self._environment.preflight
        if settings is None:
            return None
        variables = command.engine_environment(os.environ)
        return Gate(self._environment, settings, command=base_command, variables=variables)

    def run(self) -> int:
        """Serve, start the engine when the group is there, and end as the contract says."""
        processes.adopt_orphans()
        environment = self._environment
        server = Server(
            environment.pod_ip, environment.launcher_port, status=lambda: self.status, metrics=self._metrics_text
        )
        server.start()
        if environment.group_size > 1:
            self._group = Group(environment)
        if restart.mark(environment.pod_uid):
            self._ends_at = time.monotonic() + restart.DELAY_SECONDS
        say("Starting", role=environment.role, pod=environment.pod_name, nodeRank=environment.worker_index)
        say("Network", **self._network.as_json())
        while True:
            code = self._step()
            if code is not None:
                say("Ending", exitCode=code)
                return code

    def _step(self) -> int | None:
        """Wait a tick or for a signal, then look at the world; the exit code when this was the last step."""
        received = signal.sigtimedwait(_SIGNALS, _TICK_SECONDS)
        now = time.monotonic()
        if received is not None and received.si_signo in {signal.SIGTERM, signal.SIGINT} and not self._terminated_at:
            self._terminated_at = now
            if self._engine_watch is not None:
                self._engine_watch.begin_drain()
        ended = processes.reap()
        if self._engine is not None and self._engine.pid in ended:
            self._engine_code = ended[self._engine.pid]
        if self._terminated_at is not None:
            return self._drain(now, now - self._terminated_at)
        if self._engine_code is not None:
            return self._fail()
        code = self._start_when_possible(now) if self._engine is None else self._serve(now)
        self._publish(now)
        return code

    def _start_when_possible(self, now: float) -> int | None:
        waits_for = ""
        if self._ends_at is not None:
            if now >= self._ends_at:
                return self.end_with(restart.cause())
            waits_for = "this container was restarted in place; its group is expected to be recreated"
        elif self._gate is not None:
            waits_for = self._gate.waits_for(now, self._group)
            if cause := self._gate.cause():
                return self.end_with(cause)
        elif self._group is not None:
            waits_for = self._group.waits_for(now)
        if waits_for:
            self._facts = Facts(obstacle=waits_for, preflight=self._gate is not None and self._gate.running)
            return None
        if self._permit is not None and (waits_for := self._permit.waits_for(now)):
            before = Stage.WAITING if self._permit.held is None else Stage.HELD
            self._facts = Facts(obstacle=waits_for, before=before)
            return None
        if self._group is not None:
            self._group.join()
        say("Starting the engine", command=shlex.join(command.without_secrets(self._command)))
        try:
            self._engine = Engine(self._command, command.engine_environment(os.environ))
        except OSError as error:
            message = f"the engine's command {self._command[0]!r} cannot be started: {error.strerror}"
            return self.end_with(Cause("EngineNotStarted", message))
        if self._environment.serves:
            self._engine_watch = EngineWatch(self._environment.pod_ip, self._environment.engine_port)
        return self._serve(now)

    def _serve(self, now: float) -> int | None:
        if self._engine_watch is not None and self._group is not None and self._group.leader_drains():
            self._engine_watch.begin_drain()  # the leader waits for these requests
        obstacle = self._obstacle(now)
        self._facts = Facts(engine_running=True, obstacle=obstacle)
        self._served = self._served or not obstacle
        return None

    def _obstacle(self, now: float) -> str:
        """Why the group cannot serve. The group first: a leader whose engine answers may have lost a worker."""
        trouble = "" if self._group is None else self._group.obstacle(now)
        if not trouble and self._engine_watch is not None:
            trouble = self._engine_watch.pulse.trouble(now)
        return trouble

    def _fail(self) -> int:
        """The engine ended outside a drain: whatever its exit code, the pod is over."""
        processes.kill_all()
        log: list[str] = []
        if self._engine is not None:
            self._engine.finish_output()
            log = self._engine.tail.lines()
        return self.end_with(termination.engine_exited(self._engine_code or 0, log))

    def end_with(self, cause: Cause) -> int:
        """Keep the first cause, end every process of the pod; the launcher's exit code."""
        self._facts = Facts(failure=cause.message)
        self._publish(time.monotonic())
        termination.write(self._environment.termination_log, cause)
        processes.kill_all()
        return 1

    def _drain(self, now: float, elapsed: float) -> int | None:
        """After SIGTERM: wait for what the role waits for, stop the engine, end with 0."""
        running = self._engine is not None and self._engine_code is None
        if self._engine is None or not running:
            processes.kill_all()
            self._facts = Facts(draining="the engine has ended")
            self._publish(now)
            return 0
        if self._kill_at is None:
            decision = self._decide(now, elapsed)
            self._facts = Facts(engine_running=True, draining=f"waiting for {decision.waits_for}")
            if not decision.waits_for:
                self._facts = Facts(engine_running=True, draining="stopping the engine")
                self._kill_at = now + (self._limits.broken_stop if decision.quick else self._limits.stop)
                say("Stopping the engine", afterSeconds=int(elapsed), atOnce=decision.quick or None)
                self._engine.terminate()
        elif now >= self._kill_at:
            say("Killing the engine, which did not end in time")
            processes.kill_all()
            self._engine_code = -signal.SIGKILL
        self._publish(now)
        return None

    def _decide(self, now: float, elapsed: float) -> drain.Decision:
        if self._group is not None and not self._environment.is_leader:
            return drain.worker(self._group.leader_view(now, elapsed), self._limits)
        view = drain.LeaderView(
            elapsed=elapsed,
            served=self._served,
            broken=self._obstacle(now),
            unfinished=self._unfinished(),
            idle_for=self._idle_for(now),
        )
        return drain.leader(view, self._limits)

    def _unfinished(self) -> int | None:
        """Requests in all engines that a leader waits for."""
        counts = [None if self._engine_watch is None else self._engine_watch.unfinished]
        if self._group is not None and self._environment.is_leader and self._environment.every_pod_serves:
            counts.append(self._group.unfinished())
        return metrics.total(counts)

    def _idle_for(self, now: float) -> float:
        """Seconds for which there was no such request."""
        if self._unfinished() != 0:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        return 0.0 if self._idle_since is None else now - self._idle_since

    def _publish(self, now: float) -> None:
        new, reason = stage.judge(self._facts)
        if new is not self._stage:
            say(f"{self._stage.value} -> {new.value}", reason=reason, afterSeconds=int(time.time() - self._stage_since))
            self._stage, self._stage_since = new, time.time()
            if self._group is not None:
                self._group.set_eager(new is not Stage.READY)
        self.status = self._snapshot(now)

    def _snapshot(self, now: float) -> Status:
        environment = self._environment
        current, reason = stage.judge(self._facts)
        running = self._facts.engine_running and self._engine_code is None
        healthy = self._engine_watch is None or not self._engine_watch.pulse.trouble(now)
        return Status(
            environment=environment,
            network=self._network,
            ranks=ranks.of_pod(
                node_rank=environment.worker_index,
                ranks_per_pod=environment.ranks_per_pod,
                tensor_parallel_size=environment.tensor_parallel_size,
                pipeline_parallel_size=environment.pipeline_parallel_size,
            ),
            command=tuple(command.without_secrets(self._command)),
            stage=current,
            reason=reason,
            stage_since=self._stage_since,
            published=now,
            engine_pid=None if self._engine is None else self._engine.pid,
            engine_running=running,
            engine_healthy=running and healthy,
            unfinished=None if self._engine_watch is None else self._engine_watch.unfinished,
            preflight=None if self._gate is None else self._gate.report,
            held=None if self._permit is None else self._permit.held,
        )

    def _metrics_text(self) -> str:
        """Asks the engine now: a queue length of some seconds ago would make an autoscaler late."""
        status = self.status
        environment = self._environment
        info = {
            "version": __version__,
            "contract": str(CONTRACT_VERSION),
            "cluster": environment.cluster,
            "zone": environment.zone,
            "pod": environment.pod_name,
            "role": environment.role,
        }
        queue = self._queue_length() if status.engine_healthy else None
        said, restarted = json.loads(status.as_json()), self._ends_at is not None
        more = [
            *status_metrics.lines(said, time.time(), restarted_in_place=restarted),
            *preflight_metrics.lines(status.preflight),
        ]
        return metrics.text(info=info, stage=status.stage, engine_healthy=status.engine_healthy, queue=queue, more=more)

    def _queue_length(self) -> int | None:
        """Of the whole group, which its leader alone says."""
        if self._engine_watch is None or not self._environment.is_leader:
            return None
        counts = [self._engine_watch.queue_length()]
        if self._group is not None and self._environment.every_pod_serves:
            counts.append(self._group.queue_length(self._environment.engine_port))
        return metrics.total(counts)
