"""An execution followed to its end: shown while it runs, stopped or left alone on Ctrl-C, and summed up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from app.cli.progress import Progress
from app.cli.shell import ExitCode, Shell, code_of, fail, said
from app.cli.texts import harmless, outputs_of

if TYPE_CHECKING:
    from app.cli.views import View
    from perdure import Client
    from perdure.types import Execution, Graph

T = TypeVar("T")

PAUSE_SECONDS = 1.0
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


@contextmanager
def starting() -> Iterator[None]:
    """Say what Ctrl-C means while an execution is asked for."""
    try:
        yield
    except KeyboardInterrupt:
        fail("It may have been started: see perdure executions list", ExitCode.STOPPED)


def follow(shell: Shell, api: Client, execution: Execution) -> NoReturn:
    """Show an execution until it has ended; end the command with the code that says how."""
    from perdure import ApiError  # noqa: PLC0415 - a client is there already

    watching = f"perdure executions watch {execution['id']}"
    try:
        ended = _watch(shell, api, execution)
    except ApiError as error:
        # It does not depend on whether anybody watches.
        fail(f"{said(error)}\n  To see how it goes on: {watching}", code_of(error))
    except BrokenPipeError:
        ended = None
    if ended is None:
        fail(f"It goes on: {watching}", ExitCode.DETACHED)
    with suppress(BrokenPipeError):
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


def _watch(shell: Shell, api: Client, execution: Execution) -> Execution | None:
    """Show what happens until the end; return the execution as it then is, None when it was left alone."""
    execution_id = execution["id"]
    shown: tuple[Progress, View] | None = None
    choice = Choice.GO_ON
    while choice is not Choice.DETACH:
        try:
            if choice is Choice.STOP:
                _patiently(api, lambda: api.executions.stop(execution_id))
                choice = Choice.GO_ON
            if shown is None:
                progress = Progress(_graph_of(api, execution))
                shown = progress, _choose_view(shell, progress, execution)
            _show(api, execution_id, *shown)
            return _patiently(api, lambda: api.executions.get(execution_id, refs=True))
        except KeyboardInterrupt:
            choice = _ask()
    return None


def _show(api: Client, execution_id: str, progress: Progress, view: View) -> None:
    view.begin()
    try:
        asked_at = 0.0
        for event in api.executions.events(execution_id, after=progress.seq, tokens=True):
            progress.take(event)
            view.take(event)
            if event["type"] == "node_completed" and time.monotonic() - asked_at > COST_SECONDS:
                _take_cost(api, execution_id, progress)
                asked_at = time.monotonic()
        _take_cost(api, execution_id, progress, is_last=True)
    finally:
        view.end()


def _take_cost(api: Client, execution_id: str, progress: Progress, *, is_last: bool = False) -> None:
    """Ask what it has cost so far; who does not answer now is asked again, or told of, by what follows."""
    from perdure import ApiError  # noqa: PLC0415

    with suppress(ApiError):
        progress.cost = api.executions.get(execution_id, refs=True)["cost"]
        if is_last and progress.cost:
            progress.take_costs(islice(api.executions.nodes(execution_id, refs=True), COSTS_OF_NODES))


def _patiently(api: Client, ask: Callable[[], T]) -> T:
    """Ask for something until somebody answers, as long as events are waited for."""
    from perdure import ApiError  # noqa: PLC0415
    from perdure.errors import PASSING  # noqa: PLC0415

    deadline = time.monotonic() + api.patience_seconds
    while True:
        try:
            return ask()
        except ApiError as error:
            if error.status not in PASSING or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)  # before the API that is away is asked again


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
    from perdure import ApiError  # noqa: PLC0415
    from perdure.errors import PASSING  # noqa: PLC0415

    graph_id, version = execution["graph_id"], execution["graph_version"]
    try:
        return _patiently(api, lambda: api.graphs.get(graph_id, version=version))
    except ApiError as error:
        if error.status in PASSING:
            raise
        return None


def _choose_view(shell: Shell, progress: Progress, execution: Execution) -> View:
    from rich.console import Console  # noqa: PLC0415 - only who follows needs a screen

    from app.cli.views import JsonView, LiveView, PlainView  # noqa: PLC0415

    if shell.as_json:
        return JsonView()
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        print(harmless(execution["id"]), flush=True)
        return PlainView(progress)
    return LiveView(progress, console, execution["id"])
