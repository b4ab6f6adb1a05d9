"""The scripts that run inside image builds: stand-ins for CUDA libraries, the checkpoint's source, the zipapp."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build_zipapp
from e2e.images import checkpoint, cuda_stand_ins
from e2e.images.cuda_stand_ins import Symbols, UnknownLibraryError, assign, missing_libraries, source, version_script

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")

CUDA = """\
int cudaGetDeviceCount(int *n) { *n = 8; return 0; }
int cudaMalloc(void **p, unsigned long n) { return 0; }
const char *cudaGetErrorName(int e) { return "real"; }
"""
TORCH = """\
int cudaGetDeviceCount(int *); int cudaMalloc(void **, unsigned long); const char *cudaGetErrorName(int);
int devices(void) { int n = -1; cudaGetDeviceCount(&n); return n; }
int allocate(void) { return cudaMalloc(0, 1); }
const char *name(int e) { return cudaGetErrorName(e); }
"""
ASK = """\
import ctypes, sys
torch = ctypes.CDLL(sys.argv[1])
torch.name.restype = ctypes.c_char_p
print(torch.devices(), torch.allocate(), torch.name(1).decode())
"""


def compile_c(text: str, output: Path, *options: str) -> None:
    output.with_suffix(".c").write_text(text)
    argv = ["gcc", "-shared", "-fPIC", "-o", str(output), str(output.with_suffix(".c")), *options]
    subprocess.run(argv, check=True)
    output.with_suffix(".c").unlink()


@needs_gcc
def test_a_library_linked_to_cuda_loads_on_stand_ins_and_sees_no_device(tmp_path: Path) -> None:
    script = tmp_path / "cuda.map"
    script.write_text("libcudart.so.13 { global: *; };")
    cudart, torch = tmp_path / "libcudart.so.13", tmp_path / "libtorch.so"
    compile_c(CUDA, cudart, f"-Wl,--version-script,{script}", "-Wl,-soname,libcudart.so.13")
    compile_c(TORCH, torch, str(cudart), "-Wl,-rpath,$ORIGIN")
    cudart.unlink()
    ask = [sys.executable, "-c", ASK, str(torch)]
    assert b"libcudart.so.13" in subprocess.run(ask, check=False, capture_output=True).stderr

    cuda_stand_ins.main(tmp_path)

    answer = subprocess.run(ask, check=True, capture_output=True, text=True)
    assert answer.stdout.split(maxsplit=2) == ["0", "100", "no CUDA here: stand-in library\n"]
    assert "version" not in answer.stderr


def test_only_libraries_that_torch_lacks_get_a_stand_in() -> None:
    needed = {"libc.so.6", "libtorch_cpu.so", "libcudart.so.13", "libcuda.so.1", "libstdc++.so.6"}
    assert missing_libraries(needed, {"libtorch_cpu.so"}) == {"libcudart.so.13"}


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(UnknownLibraryError, match=r"libnew\.so\.1: install it, or add it"):
        missing_libraries({"libnew.so.1", "libcudart.so.13"}, set())


def test_functions_go_to_the_library_of_their_version_or_prefix() -> None:
    symbols = Symbols(
        defined={"at_own"},
        imports={
            "cudaMalloc": {"libcudart.so.13"},
            "ncclSend": {""},
            "nvshmem_put": {"NVSHMEM"},
            "at_own": {""},
            "printf": {"GLIBC_2.2.5"},
        },
    )
    exports = assign(symbols, {"libcudart.so.13", "libnccl.so.2", "libnvshmem_host.so.3"})
    assert exports == {
        "libcudart.so.13": {"libcudart.so.13": {"cudaMalloc"}},
        "libnccl.so.2": {"": {"ncclSend"}},
        "libnvshmem_host.so.3": {"NVSHMEM": {"nvshmem_put"}},
    }


def test_errors_are_those_of_the_library() -> None:
    assert "int cudaMalloc() { return 100; }" in source("libcudart.so.13", {"cudaMalloc"})
    assert "int cublasCreate() { return 1; }" in source("libcublas.so.13", {"cublasCreate"})


def test_functions_without_a_version_need_no_version_script() -> None:
    assert version_script({"": {"ncclSend"}}) == ""
    assert version_script({"": {"a"}, "V1": {"c", "b"}}) == "V1 { global: b; c; };"


def test_a_gguf_file_is_found_without_importing_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "some.gguf").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert checkpoint.gguf_file("some_model") == package / "some.gguf"
    (package / "other.gguf").touch()
    with pytest.raises(FileNotFoundError, match="some_model ships 2 GGUF files"):
        checkpoint.gguf_file("some_model")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no_such_model ships 0"):
        checkpoint.gguf_file("no_such_model")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "trireme_runtime"
    (folder / "inner" / "__pycache__").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "inner" / "__pycache__" / "stale.py").touch()
    (folder / "main.py").write_text("import sys\ndef main() -> int:\n    print(*sys.argv[1:])\n    return 7\n")
    return folder


def test_the_zipapp_runs_with_the_exit_status_of_main(package: Path, tmp_path: Path) -> None:
    build_zipapp.build(tmp_path / "app.pyz", package=package)
    done = subprocess.run([sys.executable, tmp_path / "app.pyz", "a", "b"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "a b\n")


def test_the_same_sources_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    build_zipapp.build(tmp_path / "first.pyz", package=package)
    for path in package.rglob("*.py"):
        path.touch()
    build_zipapp.build(tmp_path / "second.pyz", package=package)
    assert (tmp_path / "first.pyz").read_bytes() == (tmp_path / "second.pyz").read_bytes()


def test_the_zipapp_holds_sources_only(package: Path, tmp_path: Path) -> None:
    build_zipapp.build(tmp_path / "app.pyz", package=package)
    with zipfile.ZipFile(tmp_path / "app.pyz") as archive:
        names = archive.namelist()
    assert names == ["__main__.py", "trireme_runtime/__init__.py", "trireme_runtime/main.py"]


def test_every_user_may_read_the_zipapp(package: Path, tmp_path: Path) -> None:
    build_zipapp.build(tmp_path / "app.pyz", package=package)
    assert (tmp_path / "app.pyz").stat().st_mode & 0o777 == 0o755


def test_a_launcher_without_entry_point_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "main.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"main\.py: the launcher's entry point is missing"):
        build_zipapp.build(tmp_path / "app.pyz", package=package)


def test_what_a_process_starts_with_is_not_looked_at_and_later_garbage_is_collected() -> None:
    code = (
        "import gc, sys, weakref; sys.path.insert(0, 'e2e/images'); import startup_collector as collector\n"
        "class Node: pass\n"
        "def garbage():\n"
        "    node = Node(); node.itself = node; return weakref.ref(node)\n"
        "first = garbage(); gc.collect(); early = first() is not None, gc.get_freeze_count() > 0\n"
        "collector.START_SECONDS = 0.0\n"
        "second = garbage(); gc.collect(); print(early, second() is None)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == "(True, True) True\n"
