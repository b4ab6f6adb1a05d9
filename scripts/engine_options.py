"""Write ``tests/engine_options/<version>.json``: what ``vllm serve`` of each supported version takes.

    python -m scripts.engine_options [VERSION...]

Each is read out of the official wheel by ``tests.engine_options.wheel_parser``. Wheels are downloaded once, 300 MB
each, and kept in the cache; one that is not the one below is refused.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from e2e import cache
from tests.double import read_parser

WHEELS = {
    "0.26.0": "adb1e4c9b46d0dfdb094121ae5aad670a42412dd813ed4e5db069ed6a15006de",
    "0.32.0": "5e2ecdc5b0baf72921c288486417ca82778456a448e4fe60b62ee43c0dfc8611",
    "0.33.0": "4b6bdec4ab269990bf70d45a3c1e94c3760a27064513760193b26d6f0da883aa",
}
"""The supported versions, and the SHA-256 of each one's wheel for Linux on x86-64 on PyPI."""

FOLDER = Path(__file__).parents[1] / "tests" / "engine_options"
_PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.12", "--only-binary", ":all:")
_READ_SECONDS = 120


def wheel(version: str) -> Path:
    """The official wheel of a version, from the cache or from PyPI.

    Raises:
        ValueError: it is another file than the one that was looked at.

    """
    folder = cache.root() / "engine-wheels"
    folder.mkdir(parents=True, exist_ok=True)
    found = next(iter(folder.glob(f"vllm-{version}-*.whl")), None)
    if found is None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *_PLATFORM, f"--dest={folder}"]
        subprocess.run([*pip, f"vllm=={version}"], check=True)
        found = next(folder.glob(f"vllm-{version}-*.whl"))
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEELS[version]:
        raise ValueError(f"{found} has the SHA-256 {digest}, expected {WHEELS[version]}: remove it and run this again")
    return found


def text(version: str) -> str:
    """What the file of a version should be."""
    # A process of its own: the wheel's code runs in it, among modules that are not what they are called.
    argv = [sys.executable, "-m", "tests.engine_options.wheel_parser", str(wheel(version))]
    printed = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=_READ_SECONDS).stdout
    source = (
        f"vllm serve of vLLM {version}, by tests/engine_options/wheel_parser.py from the official wheel"
        f" (sha256 {WHEELS[version]}): its own code built the parser, without its dependencies"
    )
    return read_parser.format_document({"source": source, "flags": json.loads(printed.splitlines()[-1])})


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for version in sys.argv[1:] or WHEELS:
        (FOLDER / f"{version}.json").write_text(text(version))
        sys.stdout.write(f"wrote {FOLDER / version}.json\n")


if __name__ == "__main__":
    main()
