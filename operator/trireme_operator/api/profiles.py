"""Engine profiles: named sets of engine settings, each of which ``spec.engine.config`` overrides.

``production`` states what vLLM 0.32 does by itself on most accelerators, so that it stays the same on each of them and
with each version: its own defaults depend on the device (vllm/engine/arg_utils.py, get_batch_defaults: 256 sequences,
1024 on an H100), and it takes 92 % of the memory (vllm/config/cache.py); two more points are left as a reserve.

``memory-constrained`` gives up CUDA graphs and large batches, whose activations and logits need room beside the
weights. It does not touch the number format of the KV cache or of weights: that changes answers, and is for the user to
ask for.

``development`` starts without compiling. It leaves the accelerator's memory alone, as a pod never shares its devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trireme_operator.api.engine import EngineConfig, Profile

PROFILES: Final[Mapping[Profile, EngineConfig]] = {
    Profile.PRODUCTION: EngineConfig(
        gpu_memory_percent=90, max_num_seqs=256, enable_prefix_caching=True, enforce_eager=False
    ),
    Profile.MEMORY_CONSTRAINED: EngineConfig(
        gpu_memory_percent=95, max_num_seqs=32, max_num_batched_tokens=2048, enforce_eager=True
    ),
    Profile.DEVELOPMENT: EngineConfig(max_num_seqs=16, max_num_batched_tokens=2048, enforce_eager=True),
}

DEVICE_SETTINGS: Final = frozenset({"gpu_memory_percent", "enforce_eager"})
"""Settings that a profile leaves out for ranks without a device. There the percentage would be of a whole NUMA node for
each rank, and without warm-up pipeline stages fail on their first request (seen with vLLM 0.32 on CPU)."""
