"""The main loop: one thread that waits for signals, reaps, decides and publishes what it knows.

It takes its signals blocked, by ``sigtimedwait``: nothing runs in a handler, and as process 1, for which the
kernel drops signals without a handler, a blocked signal still arrives.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from trireme_runtime import (
    __version__,
    arrival,
    command,
    consent,
    drain,
    ends,
    limits,
    metrics,
    processes,
    ranks,
    restart,
    stage,
    status_metrics,
    termination,
)
from trireme_runtime.accelerators import metrics as accelerator_metrics
from trireme_runtime.accelerators import monitor
from trireme_runtime.arrival import Arrival
from trireme_runtime.engine import Engine
from trireme_runtime.environment import CONTRACT_VERSION, Environment
from trireme_runtime.gates import Gates
from trireme_runtime.group import Group
from trireme_runtime.health import Health
from trireme_runtime.log import say, timestamp
from trireme_runtime.memory import MemoryWatch, own_cgroup
from trireme_runtime.network import prepare
from trireme_runtime.preflight import metrics as preflight_metrics
from trireme_runtime.rank_watch import RankWatch
from trireme_runtime.server import Server
from trireme_runtime.stage import Facts, Journal, Stage
from trireme_runtime.status import Status
from trireme_runtime.termination import Cause

_TICK_SECONDS = 0.1
_LAST_WORDS_SECONDS = 1.5
"""Longer than the interval in which the other launchers ask."""

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
        self._shown_command = tuple(command.without_secrets(self._command))
        self._ranks = ranks.of_pod(
            node_rank=environment.worker_index,
            ranks_per_pod=environment.ranks_per_pod,
            tensor_parallel_size=environment.tensor_parallel_size,
            pipeline_parallel_size=environment.pipeline_parallel_size,
        )
        self._engine: Engine | None = None
        self._engine_code: int | None = None
        self._health = Health(environment, None)
        self._failure: Cause | None = None
        self._gates = Gates(environment, base_command)
        self._consent = consent.of_pod(environment)
        self._memory = MemoryWatch(own_cgroup())
        self._rank_watch = RankWatch()
        self._arrival: Arrival | None = None
        self._ends_at: float | None = None
        self._served = False
        self._terminated_at: float | None = None
        self._kill_at: float | None = None
        self._idle_since: float | None = None
        first = environment.worker_index * environment.ranks_per_pod
        self._accelerators = monitor.of_pod(range(first, first + environment.ranks_per_pod))
        self._facts = Facts(obstacle="the launcher starts")
        self._journal = Journal()
        self.status = self._snapshot(time.monotonic())

    def run(self) -> int:
        """Serve, start the engine when the group is there, and end as the contract says."""
        processes.adopt_orphans()
        environment = self._environment
        server = Server(
            environment.pod_ip,
            environment.launcher_port,
            status=lambda: self.status,
            metrics=self._metrics_text,
            ask=self._ask_service,
        )
        server.start()
        self._accelerators.start()
        if environment.group_size > 1:
            self._health = Health(environment, Group(environment))
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
            self._begin_drain(now)
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

    @property
    def _epoch(self) -> str | None:
        """UID of the leader with which this pod's engine has been started."""
        if self._group is not None:
            return self._group.epoch
        return None if self._engine is None else self._environment.pod_uid

    @property
    def _group(self) -> Group | None:
        return self._health.group

    def _begin_drain(self, now: float) -> None:
        self._terminated_at = now
        if self._health.engine is not None:
            self._health.engine.begin_drain()

    def _start_when_possible(self, now: float) -> int | None:
        if self._ends_at is not None:
            self._facts = Facts(failure=restart.OBSTACLE)
            return self.end_with(restart.cause()) if now >= self._ends_at else None
        waits = self._gates.facts(now, self._group)
        if cause := self._gates.cause():
            return self.end_with(cause)
        if waits is not None:
            self._facts = waits
            return None
        if self._group is not None:
            self._group.begin()
        say("Starting the engine", command=shlex.join(self._shown_command))
        self._arrival = arrival.start(self._command, os.environ)
        try:
            self._engine = Engine(self._command, command.engine_environment(os.environ))
        except OSError as error:
            message = f"the engine's command {self._command[0]!r} cannot be started: {error.strerror}"
            return self.end_with(Cause("EngineNotStarted", message))
        self._health.watch_engine(self._command)
        return self._serve(now)

    def _serve(self, now: float) -> int | None:
        signs = self._health.signs(now)
        if signs.death is not None and signs.death.orderly and not self._environment.is_leader:
            say("The leader has drained and gone", reason=signs.death.why)
            self._begin_drain(now)
            return None
        if self._group is not None and self._environment.is_leader and self._group.roster.drains():
            say("A worker is being ended: the group drains")
            self._begin_drain(now)
            return None
        # An engine that does not answer for as long as it may take for one step is not only slow.
        limit = max(self._environment.member_lost_seconds, self._environment.stall_seconds)
        suspicion = ends.suspicion(signs, now=now, unhealthy_limit=limit)
        cause = ends.proof(signs) or self._dead_rank(now) or self._consent.act_on(suspicion, now)
        if cause is not None:
            return self.end_with(cause)
        if self._health.engine is not None and self._group is not None and self._group.leader_drains():
            self._health.engine.begin_drain()  # the leader waits for these requests
        self._health.prove(now)
        obstacle = "; ".join(text for text in (self._health.obstacle(now), self._consent.waits_for) if text)
        compiling = self._engine is not None and self._engine.tail.has_loaded and not self._served
        if self._arrival is not None and (compiling or not obstacle):
            self._arrival.finish()
        fetching = self._arrival is not None and self._arrival.progress(now) is not None
        self._facts = Facts(engine_running=True, obstacle=obstacle, fetching=fetching, compiling=compiling)
        self._served = self._served or not obstacle
        return None

    def _dead_rank(self, now: float) -> Cause | None:
        if self._group is not None and self._group.leader_drains():
            return None  # the leader stops its engine, and the ranks elsewhere may end with it
        return self._rank_watch.cause(now, () if self._engine is None else tuple(self._engine.tail.lines()))

    def _fail(self) -> int:
        """The engine ended outside a drain: whatever its exit code, the pod is over."""
        code, tail = self._engine_code or 0, None if self._engine is None else self._engine.tail
        # Said before its processes are gone, which may take a while: from now on nobody should send requests here.
        self._say_failed(termination.engine_exited(code, [] if tail is None else tail.lines()))
        processes.kill_all()
        if self._engine is not None:
            self._engine.finish_output()
        return self.end_with(termination.engine_exited(code, [] if tail is None else tail.lines()))

    def end_with(self, cause: Cause) -> int:
        """Keep the first cause, end every process of the pod; the launcher's exit code."""
        first = self._say_failed(cause)
        termination.write(self._environment.termination_log, first)
        processes.kill_all()
        self._tell_the_others(first_hand=not cause.pod)
        return 1

    def _say_failed(self, cause: Cause) -> Cause:
        """Publish the cause with its place and time, which are this pod and now unless it says otherwise."""
        environment = self._environment
        if not cause.pod:
            rank = environment.worker_index * environment.ranks_per_pod
            cause = replace(self._memory.explain(cause), pod=environment.pod_name, rank=rank)
        self._failure = cause if cause.at else replace(cause, at=timestamp(time.time()))
        where = "" if cause.pod == environment.pod_name else f"{cause.pod}: "
        self._facts = Facts(failure=f"{where}{cause.message}")
        self._publish(time.monotonic())
        return self._failure

    def _tell_the_others(self, *, first_hand: bool) -> None:
        """Answer a little longer, so that who asks hears the cause: a closed port would only tell of a death."""
        if self._group is None or self._group.epoch is None or not (first_hand or self._environment.is_leader):
            return
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            received = signal.sigtimedwait(_SIGNALS, left)
            if received is None or received.si_signo != signal.SIGCHLD:
                return

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
            broken=self._health.broken(now),
            unfinished=self._unfinished(),
            idle_for=self._idle_for(now),
        )
        return drain.leader(view, self._limits)

    def _unfinished(self) -> int | None:
        """Requests in all engines that a leader waits for."""
        counts = [self._own_unfinished]
        if self._group is not None and self._environment.is_leader and self._environment.every_pod_serves:
            counts.append(self._group.unfinished())
        return metrics.total(counts)

    @property
    def _own_unfinished(self) -> int | None:
        return None if self._health.engine is None else self._health.engine.unfinished

    def _idle_for(self, now: float) -> float:
        """Seconds for which there was no such request."""
        if self._unfinished() != 0:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        return 0.0 if self._idle_since is None else now - self._idle_since

    def _publish(self, now: float) -> None:
        self._enter(*stage.judge(self._facts))
        arrived = None if self._arrival is None else self._arrival.latest
        if arrived is not None and self._journal.current is Stage.FETCHING:
            self._journal.count(arrived.done, arrived.total)
        self.status = self._snapshot(now)

    def _enter(self, new: Stage, reason: str) -> None:
        last = self._journal.entries()[-1]
        if self._journal.enter(new):
            say(f"{last.stage.value} -> {new.value}", reason=reason, afterSeconds=int(last.seconds))
            if self._group is not None:
                self._group.set_eager(new is not Stage.READY)

    def _snapshot(self, now: float) -> Status:
        environment = self._environment
        _, reason = stage.judge(self._facts)
        running = self._facts.engine_running and self._engine_code is None
        canary, through_service = self._health.canary, self._health.service_canary
        stall = self._health.stall(now)
        return Status(
            environment=environment,
            network=self._network,
            ranks=self._ranks,
            command=self._shown_command,
            stage=self._journal.current,
            reason=reason,
            stages=self._journal.entries(),
            published=now,
            engine_pid=None if self._engine is None else self._engine.pid,
            engine_running=running,
            engine_healthy=running and not self._health.engine_obstacle(now),
            unfinished=self._own_unfinished,
            requests=None if self._health.engine is None else self._health.engine.requests,
            epoch=self._epoch,
            ever_ready=self._served,
            members=() if self._group is None else tuple(self._group.as_json(now)),
            stalled=None if stall is None else (time.time() - (now - stall.since), stall.running),
            canary=None if canary is None else canary.result,
            service_canary=None if through_service is None else through_service.as_json(),
            failure=self._failure,
            preflight=self._gates.report,
            held=self._gates.held,
        )

    def _ask_service(self, question: str) -> None:
        self._health.ask_service(question)

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
        said, restarted = status.document(), self._ends_at is not None
        more = [
            *status_metrics.lines(said, time.time(), restarted_in_place=restarted),
            *preflight_metrics.lines(status.preflight),
            *accelerator_metrics.lines(self._accelerators.readings(time.monotonic())),
        ]
        return metrics.text(info=info, stage=status.stage, engine_healthy=status.engine_healthy, queue=queue, more=more)

    def _queue_length(self) -> int | None:
        """Of the whole group, which its leader alone says."""
        if self._health.engine is None or not self._environment.is_leader:
            return None
        counts = [self._health.engine.queue_length()]
        if self._group is not None and self._environment.every_pod_serves:
            counts.append(self._group.queue_length(self._environment.engine_port))
        return metrics.total(counts)
