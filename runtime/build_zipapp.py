#!/usr/bin/env python3
"""Pack the launcher into one file that Python runs: ``python3 build_zipapp.py OUTPUT``.

The same sources give the same bytes wherever and whenever they are packed: entries are sorted, carry one
fixed time stamp and fixed modes, and are stored as they are (the file is small, and starts faster so).
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).with_name("trireme_runtime")

_SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = """\
import sys

from trireme_runtime.main import main

sys.exit(main())
"""
# The oldest date that a zip archive can hold.
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644


def build(output: Path, *, package: Path = PACKAGE) -> None:
    """Write the zipapp of ``package`` to ``output``, readable by every user.

    Raises:
        FileNotFoundError: the package has no ``main.py``.

    """
    if not (package / "main.py").is_file():
        raise FileNotFoundError(f"{package / 'main.py'}: the launcher's entry point is missing")
    files = {f"{package.name}/{path.relative_to(package).as_posix()}": path.read_text() for path in _sources(package)}
    files["__main__.py"] = _MAIN
    with output.open("wb") as stream:
        stream.write(_SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, text in sorted(files.items()):
                entry = zipfile.ZipInfo(name, _TIME_STAMP)
                entry.external_attr = _FILE_MODE << 16
                archive.writestr(entry, text)
    output.chmod(0o755)


def _sources(package: Path) -> list[Path]:
    return [path for path in package.rglob("*.py") if "__pycache__" not in path.parts]


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(f"usage: {sys.argv[0]} OUTPUT")
    build(Path(sys.argv[1]))
