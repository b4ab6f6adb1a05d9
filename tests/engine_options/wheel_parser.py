"""The parser of ``vllm serve`` out of a wheel of vLLM, without installing vLLM or anything that it needs.

    python -m tests.engine_options.wheel_parser WHEEL

The wheel's own code builds the parser: its modules are run from the archive, statement by statement, and what is not
there (torch, compiled parts, other packages) is a placeholder that can be called, subclassed and indexed. A statement
that fails leaves placeholders for the names that it would have bound. That the way is right is shown where the real
parser is at hand: of vLLM 0.32.0 both say the same of every flag (tests/unit/test_engine_options.py). A later version
may need a module that can't be run this way: a flag whose type is a placeholder is an error, and the difference to the
file of the version before is to be read before it is committed.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import json
import resource
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Union

from tests.double import read_parser

_INSTALLED = ("regex", "yaml", "typing_extensions")
"""What is taken from where it is installed, or is missing; building the parser needs nothing of regex."""

_MAX_BYTES = 2 << 30


class Placeholder:
    """Something in place of what a dotted name stands for."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._origin}.{name}")

    def __call__(self, *args: Any, **_: Any) -> Any:
        """A decorator gives back what it decorates; anything else is one more placeholder."""
        decorates = len(args) == 1 and isinstance(args[0], type | types.FunctionType)
        return args[0] if decorates else Placeholder(f"{self._origin}()")

    def __getitem__(self, _: Any) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        """Nothing: items by index, which are without an end, would be taken otherwise."""
        return iter(())

    def __mro_entries__(self, _: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007  (made while it runs)

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007

    def __repr__(self) -> str:
        return f"<{self._origin}>"


class _Module(types.ModuleType):
    """A module of which any name can be had."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self.__name__}.{name}")


class _FieldInfo:
    """pydantic's Field, as far as the parser looks at it: a default."""

    def __init__(self, default: Any = ..., *, default_factory: Any = None, **_: Any) -> None:
        self.default = None if default is ... else default
        self.default_factory = None
        self.init = None
        del default_factory  # a whole configuration, which no flag's form depends on


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """vLLM's modules out of the wheel, placeholders for those of packages that are not ours."""

    def __init__(self, wheel: zipfile.ZipFile) -> None:
        self._wheel = wheel
        self._names = set(wheel.namelist())

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:  # noqa: ARG002
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in _INSTALLED or top in {"tests", "scripts"}:
            return None
        source = self._source(name)
        is_package = source is None or source.endswith("/__init__.py")
        return importlib.machinery.ModuleSpec(name, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__.startswith("pydantic"):
            module.__dict__.update(Field=_FieldInfo, FieldInfo=_FieldInfo, dataclass=_dataclass, ConfigDict=dict)
        source = self._source(module.__name__)
        if source is not None:
            _run(ast.parse(self._wheel.read(source)), module)

    def _source(self, name: str) -> str | None:
        path = name.replace(".", "/")
        return next((each for each in (f"{path}.py", f"{path}/__init__.py") if each in self._names), None)


def _dataclass(cls: Any = None, **_: Any) -> Any:
    """Pydantic's dataclass without its checks."""
    make: Callable[[Any], Any] = dataclasses.dataclass(kw_only=True)
    return make if cls is None else make(cls)


def _run(tree: ast.Module, module: types.ModuleType) -> None:
    futures = [each for each in tree.body if isinstance(each, ast.ImportFrom) and each.module == "__future__"]
    for statement in tree.body:
        code = compile(ast.Module([*futures, statement], []), module.__name__, "exec", dont_inherit=True)
        try:
            exec(code, module.__dict__)  # noqa: S102  (the wheel's code, which is the point)
        except Exception as error:  # noqa: BLE001  (whatever it needed is not here)
            for name in _bound(statement):
                module.__dict__[name] = Placeholder(f"{module.__name__}.{name}")
            if isinstance(statement, ast.ClassDef | ast.FunctionDef):
                warnings.warn(f"{module.__name__}: {_bound(statement)}: {error!r}", stacklevel=1)


def _bound(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def parser_of(wheel: Path) -> argparse.ArgumentParser:
    """The parser that the code of ``wheel`` builds for its serve command."""
    with zipfile.ZipFile(wheel) as archive:
        sys.meta_path.insert(0, _Finder(archive))
        sys.argv = ["vllm", "serve"]
        return read_parser.real_parsers()[1]  # type: ignore[no-any-return]


def read(wheel: Path) -> list[dict[str, Any]]:
    """Every flag in the words of ``read_parser``, but with all spellings that are taken, those hidden from help too.

    A choice that depends on the accelerator (``--mm-processor-device``) is a placeholder and left out.

    Raises:
        LookupError: what a flag takes could not be found out.

    """
    parser = parser_of(wheel)
    spellings: dict[int, list[str]] = {}
    for option, action in parser._option_string_actions.items():
        spellings.setdefault(id(action), []).append(option)
    return [_describe(action, spellings.get(id(action), [])) for action in parser._actions]


def _describe(action: argparse.Action, spellings: list[str]) -> dict[str, Any]:
    unknown = [each for each in (action.type, action.nargs) if isinstance(each, Placeholder)]
    if unknown:
        raise LookupError(f"{spellings}: {unknown}: its module could not be run")
    if action.choices is not None:
        action.choices = [choice for choice in action.choices if not isinstance(choice, Placeholder)]
    return read_parser._describe(action) | {"options": spellings}


if __name__ == "__main__":
    # A placeholder taken for a list that never ends must not take the machine with it.
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    warnings.simplefilter("ignore")
    flags = read(Path(sys.argv[1]))
    # What vLLM logs goes to standard output as well, before.
    sys.stdout.write("\n" + json.dumps(flags) + "\n")
