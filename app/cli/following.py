"""An execution followed to its end: shown while it runs, stopped or left alone on Ctrl-C, and summed up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

import typer

from app.cli.progress import Progress
from app.cli.shell import ExitCode, Shell, fail
from app.cli.texts import harmless, outputs_of

if TYPE_CHECKING:
    from app.cli.views import View
    from perdure import Client
    from perdure.types import Execution, Graph

COST_SECONDS = 1.0
"""How old the cost on the screen may be."""
COSTS_OF_NODES = 1_000
"""The most node executions whose costs are asked for one by one."""
EXIT_CODES = {"COMPLETED": 0, "FAILED": ExitCode.FAILED, "CANCELLED": ExitCode.STOPPED}


class Choice(Enum):
    """What to do with what is followed."""

    STOP = "s"
    DETACH = "d"
    GO_ON = "c"


def follow(shell: Shell, api: Client, execution: Execution) -> None:
    """Show an execution until it has ended; end the command with the code that says how."""
    progress = Progress(_graph_of(api, execution))
    view = _choose_view(shell, progress, execution)
    execution_id = execution["id"]
    choice = _watch(api, execution_id, progress, view)
    while choice is Choice.GO_ON:
        choice = _watch(api, execution_id, progress, view)
    if choice is Choice.DETACH:
        fail(f"It goes on: perdure executions watch {execution_id}", ExitCode.DETACHED)
    ended = api.executions.get(execution_id, refs=True)
    if shell.as_json:
        print(json.dumps({"seq": None, "type": "execution", "data": ended, "at": ended["ended_at"]}))
    else:
        for line in described(ended):
            print(harmless(line))
    raise typer.Exit(EXIT_CODES.get(ended["status"], ExitCode.FAILED))


def described(execution: Execution) -> Iterator[str]:
    """Give lines about an execution: how it stands, what came out, what it cost, where it is found."""
    stats = execution["stats"]
    yield (
        f"{execution['id']}  {execution['status']} after {stats['duration']:.1f} s, "
        f"{stats['node_executions']} node executions, {stats['retries']} retries, {execution['cost']} credits"
    )
    if execution["paused_for"]:
        yield f"paused for {execution['paused_for']}"
    yield from (f"  {line}" for line in outputs_of(execution["outputs"]))
    if error := execution["error"]:
        place = f" ({error['node_id']})" if error.get("node_id") else ""
        yield f"  {error['code']}{place}: {error['message']}"
    if url := execution["temporal"]["web_url"]:
        yield f"  {url}"


def _watch(api: Client, execution_id: str, progress: Progress, view: View) -> Choice | None:
    """Show what happens until the end, which is None, or until somebody chooses something else."""
    try:
        view.begin()
        try:
            _read(api, execution_id, progress, view)
        finally:
            view.end()
    except KeyboardInterrupt:
        choice = _ask()
        if choice is Choice.STOP:
            api.executions.stop(execution_id)
            return Choice.GO_ON
        return choice
    return None


def _read(api: Client, execution_id: str, progress: Progress, view: View) -> None:
    asked_at = 0.0
    for event in api.executions.events(execution_id, after=progress.seq, tokens=True):
        progress.take(event)
        view.take(event)
        if event["type"] == "node_completed" and time.monotonic() - asked_at > COST_SECONDS:
            progress.cost = api.executions.get(execution_id, refs=True)["cost"]
            asked_at = time.monotonic()
    progress.cost = api.executions.get(execution_id, refs=True)["cost"]
    if progress.cost:
        progress.take_costs(islice(api.executions.nodes(execution_id, refs=True), COSTS_OF_NODES))


def _ask() -> Choice:
    """Ask what to do; without anybody to ask, the execution is left alone."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Choice.DETACH
    question = "\n[s]top it, [d]etach and let it go on, [c]ontinue to watch? "
    while True:
        try:
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            return Choice.DETACH
        # The end of the input answers for good.
        letter = answer.strip().lower()[:1] if answer else Choice.DETACH.value
        if letter in {choice.value for choice in Choice}:
            return Choice(letter)


def _graph_of(api: Client, execution: Execution) -> Graph | None:
    """Return the version that is executed; None when it was deleted meanwhile, or is not to be read with this key."""
    from perdure import ApiError  # noqa: PLC0415 - a client is there already

    try:
        return api.graphs.get(execution["graph_id"], version=execution["graph_version"])
    except ApiError as error:
        if error.status is None:
            raise
        return None


def _choose_view(shell: Shell, progress: Progress, execution: Execution) -> View:
    from rich.console import Console  # noqa: PLC0415 - only who follows needs a screen

    from app.cli.views import JsonView, LiveView, PlainView  # noqa: PLC0415

    if shell.as_json:
        return JsonView()
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        print(execution["id"], flush=True)
        return PlainView(progress)
    return LiveView(progress, console, execution["id"])
