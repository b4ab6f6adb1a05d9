"""The image under all others where no Docker is there to pull one: a small Debian, made with debootstrap.

The archive is the one that the machine's own apt uses, during the bootstrap and inside the image, so both work
wherever ``apt-get install`` does.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path

from e2e import cache, host, progress

SUITE = "bookworm"
SOURCE_DATE_EPOCH = "1767225600"
"""The time stamp, in seconds, of every file of every image: builds of the same inputs are the same bytes."""

_POCKETS = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
# What Debian's own slim images leave out: nobody reads manuals inside a container.
_UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian")
_EXCLUDES = "".join(f"path-exclude /{folder}/*\n" for folder in _UNREAD) + "path-include /usr/share/doc/*/copyright\n"
_APT = 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n'
# Differ from one bootstrap to the next, or belong to the machine that ran it.
_UNWANTED = (
    "var/cache/apt/archives",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists",
    "var/log/alternatives.log",
    "var/log/apt",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/hostname",
)


def identity() -> str:
    """A key of everything written here that shapes the tar file."""
    return cache.key(SUITE, SOURCE_DATE_EPOCH, _sources(), _EXCLUDES, _APT, *_UNREAD, *_UNWANTED)


def tarball() -> Path:
    """The root file system as one uncompressed tar file, bootstrapped once and then kept in the cache."""
    target = cache.entry("images", f"base-{SUITE}-{identity()}")
    if not target.exists():
        with cache.building(target) as scratch:
            if scratch is not None:
                _bootstrap(scratch)
    return target / "base.tar"


def _bootstrap(scratch: Path) -> None:
    host.require_root()
    host.ensure_packages("debootstrap")
    root = scratch / "root"
    with progress.step(f"Bootstrapping Debian {SUITE}", expected_seconds=90):
        argv = ["debootstrap", "--variant=minbase", SUITE, str(root), *_mirror()]
        host.run(argv, log=scratch / "debootstrap.log")
    with progress.step("Packing the base image", expected_seconds=5):
        _slim(root)
        _pack(root, scratch / "base.tar")
    shutil.rmtree(root)


def _mirror() -> list[str]:
    """Where this machine's apt gets the suite from, as debootstrap's argument; none on another Debian, or Ubuntu."""
    return [_archives()[SUITE]] if SUITE in _archives() else []


def _sources() -> str:
    """The machine's own sources of the suite and its updates, for the image; empty: what debootstrap wrote stays."""
    archives = _archives()
    return "".join(f"deb {archives[pocket]} {pocket} main\n" for pocket in _POCKETS if pocket in archives)


@functools.cache
def _archives() -> Mapping[str, str]:
    """The addresses that this machine's apt has for the suite and its updates, by their codenames."""
    try:
        targets = _package_indexes()
    except host.CommandError:  # no apt, and so no debootstrap from it either
        return {}
    found: dict[str, str] = {}
    for line in targets.splitlines():
        origin, codename, *address = line.split(" ")
        if origin == "Debian" and codename in _POCKETS and address:
            found.setdefault(codename, address[0].rstrip("/"))
    return found


def _package_indexes() -> str:
    """Where each package index of this machine's apt comes from: "ORIGIN CODENAME ADDRESS" a line.

    Kept for as long as apt's files stay as they are: it takes half a second of a processor to say so, and every program
    that names an image asks.
    """
    state = [f"{file} {file.lstat().st_mtime_ns} {file.lstat().st_size}" for file in _apt_files()]
    kept = cache.entry("apt", cache.key(*state)) / "indexes"
    with cache.building(kept.parent) as scratch:
        if scratch is not None:
            form = "$(ORIGIN) $(CODENAME) $(REPO_URI)"
            told = host.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
            (scratch / kept.name).write_text(told)
    return kept.read_text()


def _apt_files() -> list[Path]:
    """What apt's answer follows from: its sources and settings, and what it was told of them by the archives."""
    settings = [file for pattern in ("sources.list*", "apt.conf*") for file in Path("/etc/apt").glob(pattern)]
    below = [file for folder in settings if folder.is_dir() for file in folder.iterdir()]
    return sorted([*settings, *below, *Path("/var/lib/apt/lists").glob("*Release")])


def _slim(root: Path) -> None:
    for folder in _UNREAD:
        for path in (root / folder).rglob("*"):
            # Licences stay: the image is passed on.
            if (path.is_file() or path.is_symlink()) and path.name != "copyright":
                path.unlink()
    for name in _UNWANTED:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
            path.mkdir()
        else:
            path.unlink(missing_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir()
    (root / "var/lib/apt/lists/partial").mkdir()
    if _sources():
        (root / "etc/apt/sources.list").write_text(_sources())
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_EXCLUDES)
    (root / "etc/apt/apt.conf.d/slim").write_text(_APT)


def _pack(root: Path, archive: Path) -> None:
    argv = ["tar", "--create", "--file", str(archive), "--directory", str(root), "--sort=name", "--numeric-owner"]
    argv += [f"--mtime=@{SOURCE_DATE_EPOCH}", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "."]
    host.run(argv)
