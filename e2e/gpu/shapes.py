"""The layouts and models that are run: how ranks lie on devices and pods, and what is loaded without weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Obj = dict[str, Any]
SERVED: Final = "m"


@dataclass(frozen=True)
class Layout:
    """Sizes of a group and of its pods, in ranks; ``experts`` asks for the mixture of experts, spread over ranks."""

    name: str
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    per_pod: int = 1
    experts: bool = False

    @property
    def world(self) -> int:
        return self.tensor * self.pipeline * self.data

    @property
    def pods(self) -> int:
        return self.world // self.per_pod

    @property
    def parallelism(self) -> Obj:
        """``spec.parallelism``."""
        sizes: Obj = {"tensor": self.tensor, "pipeline": self.pipeline}
        return sizes | ({"data": self.data} if self.data > 1 else {}) | ({"expert": True} if self.experts else {})


LAYOUTS: Final = (
    Layout("tp2", tensor=2, per_pod=2),
    Layout("pp2-two-pods", pipeline=2),
    Layout("ep2-two-pods", data=2, experts=True),
    Layout("dp2-two-pods", data=2),
    Layout("tp4", tensor=4, per_pod=4),
    Layout("tp2-pp2-two-pods", tensor=2, pipeline=2, per_pod=2),
    Layout("dp2-tp2-two-pods", tensor=2, data=2, per_pod=2),
)
TWO_PODS: Final = LAYOUTS[1]
ONE_POD: Final = LAYOUTS[0]

_COMMON: Final[Obj] = {
    "bos_token_id": 0,
    "eos_token_id": 1,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
_DENSE: Final[Obj] = {
    **_COMMON,
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}
_EXPERTS: Final[Obj] = {
    **_COMMON,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 2048,
    "intermediate_size": 4096,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
    "rope_theta": 1000000.0,
    "num_local_experts": 16,
    "num_experts_per_tok": 2,
    "sliding_window": None,
}
_TINY: Final[Obj] = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 2048,
}


def config(*, experts: bool, tiny: bool) -> Obj:
    """A config.json: the dimensions of Llama 3 8B, or a mixture of 16 experts; ``tiny`` for a rehearsal."""
    return (_EXPERTS if experts else _DENSE) | (_TINY if tiny else {})


def write_model(folder: Path, made: Obj) -> Path:
    """A model without weights, which the engine makes up, and a tokenizer that has a word for each row of its
    vocabulary: bytes, and words that no text is cut into.
    """
    from tokenizers import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (in the engine only)
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
    )

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(made))
    words = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words += [f"w{number}" for number in range(len(words), made["vocab_size"])]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": made["max_position_embeddings"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | special))
    return folder
