"""Print the flags of the installed vLLM's ``vllm serve`` as JSON: run with the Python that has vLLM.

    python tests/double/read_parser.py > tests/double/flags-VERSION.json
    python tests/double/read_parser.py '[["serve", "MODEL", ...], ...]'    # and what vLLM makes of these commands

The double builds its own parser from that file, so that it takes what vLLM takes and refuses what vLLM refuses.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
from typing import Any


def real_parsers() -> tuple[Any, Any]:
    """The parser of ``vllm`` and that of its serve command."""
    argparse_utils = importlib.import_module("vllm.utils.argparse_utils")
    serve = importlib.import_module("vllm.entrypoints.cli.serve")
    root = argparse_utils.FlexibleArgumentParser(prog="vllm")
    return root, serve.cmd_init()[0].subparser_init(root.add_subparsers())


def parse(argv: list[str]) -> dict[str, Any]:
    """The plain values of the namespace; the real parser ends the process with 2 when it refuses."""
    namespace = real_parsers()[0].parse_args(argv)
    return {name: value for name, value in vars(namespace).items() if isinstance(value, (str, int, list))}


def read() -> dict[str, Any]:
    """Every flag of the serve command: spellings, kind of action, number of values, choices and type."""
    parser = real_parsers()[1]
    version = importlib.metadata.version("vllm")
    return {
        "source": f"vllm.entrypoints.cli.serve of vLLM {version}, read by tests/double/read_parser.py",
        "flags": [_describe(action) for action in parser._actions],
    }


def format_document(document: dict[str, Any]) -> str:
    """One flag a line, so that a new version's changes are read easily."""
    flags = ",\n".join(f"  {json.dumps(flag)}" for flag in document["flags"])
    return f'{{\n "source": {json.dumps(document["source"])},\n "flags": [\n{flags}\n ]\n}}\n'


def _describe(action: argparse.Action) -> dict[str, Any]:
    choices = None if action.choices is None else sorted(str(choice) for choice in action.choices)
    return {
        "options": list(action.option_strings),
        "dest": action.dest,
        "kind": type(action).__name__,
        "nargs": action.nargs,
        "choices": choices,
        "type": _type_name(action.type),
    }


def _type_name(function: Any) -> str | None:
    if function is None:
        return None
    if isinstance(function, type):
        return function.__name__
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "_optional_type":
        # vLLM's optional_type(T): T, or the text None.
        (inner,) = (cell.cell_contents for cell in function.__closure__)
        return f"optional {_type_name(inner)}"
    return name


if __name__ == "__main__":
    # vLLM logs to standard output as well: the document is what follows the last log line.
    sys.stdout.write(format_document(read()))
    for command in json.loads(sys.argv[1]) if sys.argv[1:] else []:
        sys.stdout.write(json.dumps(parse(command)) + "\n")
