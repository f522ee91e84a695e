"""`perdure run`: an execution started, and followed if wanted."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.following import follow, starting
from app.cli.given import (
    Budget,
    Credentials,
    Given,
    GraphRef,
    InputsFile,
    PresetOption,
    Version,
    find_graph,
    read_credentials,
    read_inputs,
)
from app.cli.shell import Shell

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show what happens until it has ended.")]


def run(  # noqa: PLR0913 - the options of the command
    shell: Shell,
    graph: GraphRef,
    given: Given = None,
    inputs: InputsFile = None,
    version: Version = None,
    preset_id: PresetOption = None,
    credentials: Credentials = None,
    budget: Budget = None,
    is_followed: Follow = False,
) -> None:
    """Execute a graph.

    With --follow it ends with 0 when the execution has completed, 1 when it has failed, 130 when it was stopped and 4
    when you have left it alone.
    """
    values = read_inputs(inputs, given)
    chosen = read_credentials(credentials)
    with shell.api() as api:
        with starting():
            execution = api.executions.start(
                find_graph(api, graph),
                values,
                version=version,
                preset_id=preset_id,
                credentials_inputs=chosen,
                budget=budget,
            )
        if is_followed:
            follow(shell, api, execution)
    url = execution["temporal"]["web_url"]
    shell.answer(execution, [f"{execution['id']}  {execution['status']}", *([f"  {url}"] if url else [])])
