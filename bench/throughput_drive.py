"""The same engine alone and under the launcher, in turns: ``throughput_drive.py PLAN``, with the engine's Python.

PLAN is JSON: ``runtime`` (the launcher's zipapp, zlib, base64), ``env`` and ``args`` of the one pod as rendered,
``pairs``, ``requests`` (of each measurement), ``tokens`` (of each answer) and ``at_once``. The last line of the output
is JSON. One file and no imports but the standard library's, so that it also runs where it is all there is, inside the
engine's image.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

START_SECONDS = 300.0
_ADDRESS = "127.0.0.1"
_WARM_UP_REQUESTS = 16
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_POD = {
    "LWS_LEADER_ADDRESS": _ADDRESS,
    "LWS_GROUP_SIZE": "1",
    "LWS_WORKER_INDEX": "0",
    "TRIREME_POD_IP": _ADDRESS,
    "TRIREME_POD_NAME": "bench-0",
    "VLLM_HOST_IP": _ADDRESS,
}


def ask(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and text; 0 when nobody answers."""
    connection = http.client.HTTPConnection(_ADDRESS, port, timeout=300)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Engine:
    """One start after the other, alone or under the launcher, with the same command and the same environment."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._port = int(plan["env"]["TRIREME_ENGINE_PORT"])
        self._launcher_port = int(plan["env"]["TRIREME_LAUNCHER_PORT"])
        self._alone: tuple[list[str], dict[str, str]] | None = None
        (folder / "runtime.pyz").write_bytes(zlib.decompress(base64.b64decode(plan["runtime"])))

    @contextlib.contextmanager
    def launched(self) -> Iterator[None]:
        """Under the launcher. The first time, what it starts is remembered."""
        environment = {
            **os.environ,
            **self._plan["env"],
            **_QUIET,
            **_POD,
            "TRIREME_POD_UID": f"bench-{time.monotonic_ns()}",  # a second start of one pod would load nothing
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "TRIREME_TERMINATION_LOG": str(self._folder / "cause"),
        }
        argv = [sys.executable, str(self._folder / "runtime.pyz"), *self._plan["args"]]
        with self._running(argv, environment, self._launcher_port, "/readyz"):
            if self._alone is None:
                said = json.loads(ask(self._launcher_port, "GET", "/statusz")[1])
                variables = Path(f"/proc/{said['engine']['pid']}/environ").read_bytes().decode().split("\0")
                self._alone = said["command"], dict(each.split("=", 1) for each in variables if "=" in each)
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """What the launcher was seen to start, started without it."""
        if self._alone is None:
            raise RuntimeError("nothing was started under the launcher yet")
        argv, environment = self._alone
        with self._running(argv, environment, self._port, "/health"):
            yield

    @contextlib.contextmanager
    def _running(self, argv: list[str], environment: dict[str, str], port: int, path: str) -> Iterator[None]:
        """Raises RuntimeError with the end of what was said when it does not answer."""
        log = self._folder / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output, start_new_session=True)
            try:
                deadline = time.monotonic() + START_SECONDS
                while ask(port, "GET", path)[0] != http.client.OK:
                    if process.poll() is not None or time.monotonic() > deadline:
                        said = log.read_text(errors="replace").splitlines()[-200:]
                        raise RuntimeError("\n".join([f"{argv[:3]} is not ready (status {process.poll()}):", *said]))
                    time.sleep(0.5)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tokens_per_second(self) -> float:
        """A fixed amount of work, by so many clients at once as the plan says. Raises RuntimeError for a bad answer."""
        self._work(_WARM_UP_REQUESTS)
        began = time.monotonic()
        tokens = self._work(self._plan["requests"])
        return tokens / (time.monotonic() - began)

    def _work(self, requests: int) -> int:
        with ThreadPoolExecutor(self._plan["at_once"]) as pool:
            return sum(pool.map(self._complete, range(requests)))

    def _complete(self, number: int) -> int:
        prompt = f"{number}. Once upon a time, in a harbour with {number} ships,"
        sizes = {"max_tokens": self._plan["tokens"], "ignore_eos": True, "temperature": 0}
        code, text = ask(
            self._port, "POST", "/v1/completions", {"model": self._plan["name"], "prompt": prompt, **sizes}
        )
        if code != http.client.OK:
            raise RuntimeError(f"a completion was answered with {code}: {text[:500]}")
        return int(json.loads(text)["usage"]["completion_tokens"])


def drive(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The pairs, each beginning with the other side than the one before it; a first start decides nothing."""
    engine = Engine(plan, folder)
    with engine.launched():
        engine.tokens_per_second()
    pairs = []
    for number in range(plan["pairs"]):
        sides = {"launched": engine.launched, "alone": engine.alone}
        order = sorted(sides, reverse=bool(number % 2))
        measured: dict[str, Any] = {"first": order[0]}
        for side in order:
            with sides[side]():
                measured[side] = round(engine.tokens_per_second(), 3)
        pairs.append(measured)
        sys.stderr.write(f"pair {number + 1} of {plan['pairs']}: {measured}\n")
        sys.stderr.flush()
    return {"pairs": pairs, "load": os.getloadavg()[0]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(drive(json.loads(sys.argv[1]), Path(place))) + "\n")
