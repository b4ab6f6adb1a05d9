"""What can be built: every image of the project and of its end-to-end cluster, and what each is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_OURS = REPOSITORY / "Dockerfile"
_PARTS = Path(__file__).with_name("Dockerfile")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One image.

    ``inputs`` are the paths below the repository that its stages copy; ``locks`` the requirement files whose
    wheels they install; ``program`` the program of ``e2e.toolchain`` that is all of its build context.
    """

    name: str
    tag: str
    dockerfile: Path = _OURS
    inputs: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    program: str | None = None
    stage: str = ""
    """Of the Dockerfile; empty: the one with the image's name."""
    expected_seconds: float = 10

    @property
    def last_stage(self) -> str:
        """The stage of the Dockerfile that becomes the image."""
        return self.stage or self.name


def _part(name: str, *, program: bool = True) -> Target:
    tag = f"trireme.dev/e2e/{name}:dev"
    return Target(name=name, tag=tag, dockerfile=_PARTS, program=name if program else None)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        _part("pause", program=False),
        _part("coredns"),
        _part("lws"),
        _part("envoy-gateway"),
        _part("envoy"),
        _part("metrics-server"),
        Target(name="runtime", tag="trireme.dev/runtime:dev", inputs=("runtime",), expected_seconds=20),
        Target(
            name="operator",
            tag="trireme.dev/operator:dev",
            inputs=("operator/trireme_operator", "requirements/operator.lock"),
            locks=("requirements/operator.lock",),
            expected_seconds=60,
        ),
        Target(
            name="engine-cpu",
            tag="trireme.dev/engine-cpu:dev",
            inputs=(
                "requirements/engine-cpu.lock",
                "requirements/checkpoint.lock",
                "e2e/images/cuda_stand_ins.py",
                "e2e/images/startup_collector.py",
                "e2e/images/checkpoint.py",
                "e2e/images/vllm_cpu.py",
            ),
            locks=("requirements/engine-cpu.lock", "requirements/checkpoint.lock"),
            expected_seconds=420,
        ),
        Target(name="engine-double", tag="trireme.dev/engine-double:dev", inputs=("tests/double",)),
        # The same as a later release, for a rollout that changes the image.
        Target(
            name="engine-double-next",
            tag="trireme.dev/engine-double:next",
            stage="engine-double",
            inputs=("tests/double",),
        ),
    )
}
