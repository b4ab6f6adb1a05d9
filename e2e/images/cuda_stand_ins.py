#!/usr/bin/env python3
"""Stand-ins for the CUDA libraries that PyTorch's default wheel is linked to: ``cuda_stand_ins.py TORCH_LIB``.

The wheel on the package index is the CUDA build. The dynamic linker wants some twenty NVIDIA libraries before
PyTorch can be imported at all, 1.8 GB that a machine without a GPU never calls: PyTorch asks for the number of
devices, hears none and stays on the CPU. This reads which libraries and functions PyTorch's own libraries import,
and compiles, for each missing library, one of the same name, with the same symbol versions, whose functions all
answer with an error. PyTorch itself is not touched.

For test images only. Needs readelf, nm and gcc; standard library only, because it runs inside an image build.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

_SYSTEM = re.compile(r"^(ld-linux-|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|gomp|numa|util)\.so)")
_NVIDIA = re.compile(
    r"^lib(cudart|cupti|nvrtc|cublas|cublasLt|cudnn|cufft|curand|cusparse|cusparseLt|cufile|nccl|nvshmem_host|nvJitLink)\.so"
)
# Needed only by libraries that PyTorch opens when it first uses a GPU.
_LAZY = re.compile(r"^lib(cuda|cusolver)\.so")
# Which library a function without a symbol version belongs to.
_PREFIXES = {
    "cusparseLt": "libcusparseLt.so",
    "cuFile": "libcufile.so",
    "curand": "libcurand.so",
    "nccl": "libnccl.so",
    "pnccl": "libnccl.so",
    "nvshmem": "libnvshmem_host.so",
}
# NVSHMEM's symbol version is not its file's name, as all the others' are.
_VERSION_OWNERS = {"NVSHMEM": "libnvshmem_host.so"}

_NO_DEVICE = 100  # cudaErrorNoDevice of the CUDA runtime
_ERROR = 1
_TEXT = '"no CUDA here: stand-in library"'
_RETURNS_TEXT = re.compile(
    r"(GetErrorString|GetErrorName|GetStatusString|GetStatusName|GetResultString|ncclGetLastError)$"
)
# Called while PyTorch is imported or looks for devices: their answers are read.
_BODIES = {
    "cudaGetDeviceCount": f"int cudaGetDeviceCount(int *count) {{ if (count) *count = 0; return {_NO_DEVICE}; }}",
    "cudaRuntimeGetVersion": "int cudaRuntimeGetVersion(int *version) { if (version) *version = 13000; return 0; }",
    "cudaDriverGetVersion": "int cudaDriverGetVersion(int *version) { if (version) *version = 0; return 0; }",
    "cudaGetLastError": "int cudaGetLastError(void) { return 0; }",
    "cudaPeekAtLastError": "int cudaPeekAtLastError(void) { return 0; }",
    "__cudaRegisterFatBinary": "static void *handle[1]; void *__cudaRegisterFatBinary(void *image) { return handle; }",
    "cudnnGetVersion": "unsigned long cudnnGetVersion(void) { return 92000; }",
    "cudnnGetCudartVersion": "unsigned long cudnnGetCudartVersion(void) { return 13000; }",
    "cublasLtGetVersion": "unsigned long cublasLtGetVersion(void) { return 130101; }",
}


class UnknownLibraryError(RuntimeError):
    """PyTorch needs a library that is neither its own, nor the system's, nor one of NVIDIA's that we know."""


@dataclass
class Symbols:
    """What a set of libraries needs, defines and imports; ``imports`` maps a function to its symbol versions."""

    needed: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    imports: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def scan(libraries: list[Path]) -> Symbols:
    """Read the dynamic sections and symbol tables of ``libraries``."""
    symbols = Symbols()
    for library in libraries:
        dynamic = _output("readelf", "-dW", library)
        symbols.needed |= set(re.findall(r"\(NEEDED\).*\[(.*?)\]", dynamic))
        for line in _output("nm", "-D", "--defined-only", library).splitlines():
            symbols.defined.add(line.split()[-1].partition("@")[0])
        for line in _output("nm", "-D", "--undefined-only", library).splitlines():
            name, _, version = line.split()[-1].partition("@")
            symbols.imports[name].add(version.lstrip("@"))
    return symbols


def missing_libraries(needed: set[str], own: set[str]) -> set[str]:
    """The sonames to make a stand-in for.

    Raises:
        UnknownLibraryError: something else is missing too, and must be installed or listed here.

    """
    foreign = {name for name in needed - own if not _SYSTEM.match(name) and not _LAZY.match(name)}
    unknown = sorted(name for name in foreign if not _NVIDIA.match(name))
    if unknown:
        raise UnknownLibraryError(f"PyTorch needs {', '.join(unknown)}: install it, or add it to this script's list")
    return foreign


def assign(symbols: Symbols, missing: set[str]) -> dict[str, dict[str, set[str]]]:
    """Which functions each missing library must export: soname -> symbol version ("" for none) -> names."""
    exports: dict[str, dict[str, set[str]]] = {soname: defaultdict(set) for soname in missing}
    for name, versions in symbols.imports.items():
        if name in symbols.defined:
            continue
        for version in versions:
            if owner := _owner(name, version, missing):
                exports[owner][version].add(name)
    return exports


def _owner(name: str, version: str, missing: set[str]) -> str | None:
    if version in missing:
        return version
    stem = _VERSION_OWNERS.get(version)
    if not version:
        stem = next((library for prefix, library in _PREFIXES.items() if name.startswith(prefix)), None)
    return next((soname for soname in missing if stem and soname.startswith(stem)), None)


def source(soname: str, names: set[str]) -> str:
    """The C text of a library that exports ``names``."""
    error = _NO_DEVICE if soname.startswith("libcudart") else _ERROR
    return "".join(_function(name, error) + "\n" for name in sorted(names))


def _function(name: str, error: int) -> str:
    if name in _BODIES:
        return _BODIES[name]
    if _RETURNS_TEXT.search(name):
        return f"const char *{name}() {{ return {_TEXT}; }}"
    return f"int {name}() {{ return {error}; }}"


def version_script(versions: dict[str, set[str]]) -> str:
    """The linker's version script; empty when no function has a version."""
    rows = (
        f"{version} {{ global: {' '.join(f'{name};' for name in sorted(names))} }};"
        for version, names in versions.items()
        if version
    )
    return "\n".join(sorted(rows))


def compile_library(soname: str, versions: dict[str, set[str]], folder: Path) -> None:
    """Compile the stand-in ``soname`` into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        code, script = Path(scratch) / "stand_in.c", Path(scratch) / "stand_in.map"
        code.write_text(source(soname, set().union(*versions.values())))
        # -fno-builtin and -w: some of the names are known to gcc with other types than int f().
        argv = ["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-w", "-std=gnu11", f"-Wl,-soname,{soname}"]
        if text := version_script(versions):
            script.write_text(text + "\n")
            argv.append(f"-Wl,--version-script,{script}")
        subprocess.run([*argv, "-o", str(folder / soname), str(code)], check=True)


def _output(*argv: str | Path) -> str:
    return subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.PIPE, text=True).stdout


def main(folder: Path) -> None:
    """Make every stand-in that the libraries in ``folder`` need; PyTorch's run path ends there."""
    libraries = sorted(path for path in folder.iterdir() if ".so" in path.suffixes)
    symbols = scan(libraries)
    exports = assign(symbols, missing_libraries(symbols.needed, {path.name for path in libraries}))
    for soname, versions in sorted(exports.items()):
        compile_library(soname, versions, folder)
    functions = sum(len(names) for versions in exports.values() for names in versions.values())
    print(f"{len(exports)} stand-in libraries with {functions} functions: {', '.join(sorted(exports))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(f"usage: {sys.argv[0]} TORCH_LIB")
    main(Path(sys.argv[1]))
