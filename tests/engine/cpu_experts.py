"""A plugin for vLLM on a processor, where experts of one model lie in several processes: for tests only.

vLLM 0.32.0 for processors lacks two collectives that data parallel experts need, and its kernel ignores which experts
are its own. The collectives are made of those that gloo has; foreign experts get the weight 0.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """What vLLM calls in each of its processes (entry point group vllm.general_plugins)."""
    import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (in the engine only)
    from vllm.distributed.device_communicators.cpu_communicator import (  # type: ignore[import-not-found]  # noqa: PLC0415
        CpuCommunicator,
    )
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import (  # type: ignore[import-not-found]  # noqa: PLC0415
        CPUUnquantizedExperts,
    )

    def gather(self: Any, part: Any, sizes: list[int] | None) -> Any:
        sizes = sizes or [part.shape[0]] * self.world_size
        padded = part.new_zeros((max(sizes), *part.shape[1:]))
        padded[: part.shape[0]] = part
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded, group=self.device_group)
        return torch.cat([each[:size] for each, size in zip(parts, sizes, strict=True)])

    def all_gatherv(self: Any, parts: Any, dim: int = 0, sizes: list[int] | None = None) -> Any:
        assert dim == 0
        return [gather(self, part, sizes) for part in parts] if isinstance(parts, list) else gather(self, parts, sizes)

    def reduce_scatterv(self: Any, whole: Any, dim: int = 0, sizes: list[int] | None = None) -> Any:
        assert dim == 0
        sizes = sizes or [whole.shape[0] // self.world_size] * self.world_size
        whole = whole.contiguous()
        torch.distributed.all_reduce(whole, group=self.device_group)
        begin = sum(sizes[: self.rank_in_group])
        return whole[begin : begin + sizes[self.rank_in_group]].clone()

    def apply(self: Any, *args: Any, _kernel: Any = CPUUnquantizedExperts.apply, **kwargs: Any) -> None:
        output, states, w1, w2, weights, ids, activation, experts, own, *rest = _positional(args, kwargs)
        if own is not None:
            local = own.to(ids.device)[ids.long()]
            weights = weights.masked_fill(local < 0, 0)
            ids = local.clamp(min=0).to(ids.dtype)
        _kernel(self, output, states, w1, w2, weights, ids, activation, experts, own, *rest, **kwargs)

    CpuCommunicator.all_gatherv = all_gatherv
    CpuCommunicator.reduce_scatterv = reduce_scatterv
    CPUUnquantizedExperts.apply = apply
    CPUUnquantizedExperts.supports_expert_map = lambda _self: True


_NAMES = (
    "output",
    "hidden_states",
    "w1",
    "w2",
    "topk_weights",
    "topk_ids",
    "activation",
    "global_num_experts",
    "expert_map",
)


def _positional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """All arguments by position, whichever way the caller gave them."""
    return (*args, *(kwargs.pop(name) for name in _NAMES[len(args) :]))
