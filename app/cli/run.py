"""`perdure run`: an execution started, and followed if wanted."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.following import follow
from app.cli.given import Given, GraphRef, InputsFile, Version, find_graph, read_inputs
from app.cli.shell import Shell

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show what happens until it has ended.")]


def run(
    shell: Shell,
    graph: GraphRef,
    given: Given = None,
    inputs: InputsFile = None,
    version: Version = None,
    preset_id: Annotated[
        str | None, typer.Option("--preset", metavar="ID", help="Inputs and credentials kept in advance.")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=0, help="The most credits that it may cost.")] = None,
    is_followed: Follow = False,
) -> None:
    """Execute a graph.

    With --follow it ends with 0 when the execution has completed, 1 when it has failed, 130 when it was stopped and 4
    when you have left it alone.
    """
    values = read_inputs(inputs, given)
    with shell.api() as api:
        execution = api.executions.start(
            find_graph(api, graph), values, version=version, preset_id=preset_id, budget=budget
        )
        if is_followed:
            follow(shell, api, execution)
    url = execution["temporal"]["web_url"]
    shell.answer(execution, [f"{execution['id']}  {execution['status']}", *([f"  {url}"] if url else [])])
