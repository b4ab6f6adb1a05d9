"""The command ``trireme``."""

from __future__ import annotations

import typer

from trireme_operator.cli.plan import plan
from trireme_operator.cli.render import render
from trireme_operator.cli.validate import validate

app = typer.Typer(
    name="trireme",
    help="Check, plan and render InferenceClusters without a cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(validate)
app.command()(plan)
app.command()(render)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
