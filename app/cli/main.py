"""The command line `perdure`: which commands there are."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

import typer

from app.cli.blocks import blocks
from app.cli.credits import credits_commands
from app.cli.executions import executions
from app.cli.graphs import graphs
from app.cli.keys import keys
from app.cli.notifications import notifications
from app.cli.presets import presets
from app.cli.publications import publications
from app.cli.run import run
from app.cli.schedules import schedules
from app.cli.shell import ExitCode, command
from app.cli.token import token
from app.cli.webhooks import webhooks

# Without rich: help would wait for it, and an error of ours is no page of frames.
application = typer.Typer(
    name="perdure",
    help="The command line of Perdure.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
application.command()(token)
command(application)(run)
application.add_typer(graphs, name="graphs")
application.add_typer(executions, name="executions")
application.add_typer(schedules, name="schedules")
application.add_typer(presets, name="presets")
application.add_typer(webhooks, name="webhooks")
application.add_typer(publications, name="publications")
application.add_typer(notifications, name="notifications")
application.add_typer(blocks, name="blocks")
application.add_typer(credits_commands, name="credits")
application.add_typer(keys, name="keys")


@application.callback()
def _perdure() -> None:
    """The command line of Perdure."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file of another encoding gets what it can show, rather than nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _leave)
    code: str | int | None = 0
    try:
        try:
            application()
        except SystemExit as ended:
            code = ended.code
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python would try once more to write what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"perdure: nothing can be written: {error.strerror}", file=sys.stderr)
            code = code or ExitCode.FAILED
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does: what has been drawn is left tidy."""
    sys.exit(128 + number)
