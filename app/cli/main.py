"""The command line `perdure`: which commands there are."""

from __future__ import annotations

import typer

from app.cli.blocks import blocks
from app.cli.credits import credits_commands
from app.cli.graphs import graphs
from app.cli.keys import keys
from app.cli.token import token

application = typer.Typer(
    name="perdure", help="The command line of Perdure.", no_args_is_help=True, add_completion=False
)
application.command()(token)
application.add_typer(graphs, name="graphs")
application.add_typer(blocks, name="blocks")
application.add_typer(keys, name="keys")
application.add_typer(credits_commands, name="credits")


@application.callback()
def _perdure() -> None:
    """The command line of Perdure."""


def main() -> None:
    """Run the command line."""
    application()
