"""The command ``trireme``."""

from __future__ import annotations

import typer

from trireme_operator.cli import rollout
from trireme_operator.cli.diff import diff
from trireme_operator.cli.drain import drain, undrain
from trireme_operator.cli.history import history
from trireme_operator.cli.plan import plan
from trireme_operator.cli.render import render
from trireme_operator.cli.rollback import rollback
from trireme_operator.cli.status import status
from trireme_operator.cli.upgrade_rendering import upgrade_rendering
from trireme_operator.cli.validate import validate

app = typer.Typer(
    name="trireme",
    help=(
        "Check, plan and render InferenceClusters without a cluster; in one, see them, drain their zones and move their"
        " revisions."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(validate)
app.command()(plan)
app.command()(render)
app.command()(status)
app.command()(history)
app.command()(diff)
app.command()(rollback)
app.command()(upgrade_rendering)
app.command()(drain)
app.command()(undrain)
app.add_typer(rollout.app, name="rollout")


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
