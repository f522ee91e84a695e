"""`perdure presets`: inputs of graphs, kept under names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.following import follow, starting
from app.cli.given import (
    Budget,
    Credentials,
    Given,
    GraphRef,
    InputsFile,
    Limit,
    OfGraph,
    Version,
    find_graph,
    read_credentials,
    read_inputs,
)
from app.cli.run import Follow
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, shown

if TYPE_CHECKING:
    from perdure.triggers import Preset

presets = typer.Typer(help="Inputs of graphs, kept under names.", no_args_is_help=True)

PresetId = Annotated[str, typer.Argument(metavar="ID", help="A preset.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]


@command(presets, "list")
def list_presets(
    shell: Shell,
    graph: OfGraph = None,
    limit: Limit = 50,
) -> None:
    """List your presets, newest first."""
    with shell.api() as api:
        graph_id = None if graph is None else find_graph(api, graph)
        found = list(api.presets.list(graph_id=graph_id, limit=limit))
    shell.answer(found, in_columns((one["id"], one["name"], one["graph_id"]) for one in found))


@command(presets, "get")
def get_preset(shell: Shell, preset_id: PresetId) -> None:
    """Show one preset."""
    with shell.api() as api:
        preset = api.presets.get(preset_id)
    shell.answer(preset, _described(preset))


@command(presets, "create")
def create_preset(
    shell: Shell,
    graph: GraphRef,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    given: Given = None,
    inputs: InputsFile = None,
    credentials: Credentials = None,
    description: Description = None,
    version: Version = None,
) -> None:
    """Keep inputs and credentials of a graph. What is required may be left open."""
    values = read_inputs(inputs, given)
    chosen = read_credentials(credentials)
    with shell.api() as api:
        preset = api.presets.create(
            find_graph(api, graph),
            name,
            values,
            credentials_inputs=chosen,
            description=description,
            graph_version=version,
        )
    shell.answer(preset, _described(preset))


@command(presets, "update")
def update_preset(
    shell: Shell,
    preset_id: PresetId,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    given: Given = None,
    inputs: InputsFile = None,
    credentials: Credentials = None,
    description: Description = None,
    version: Version = None,
) -> None:
    """Change a preset; what is left out stays. Inputs are replaced as a whole, and so are credentials."""
    named = {
        "name": name,
        "inputs": read_inputs(inputs, given) or None,
        "credentials_inputs": read_credentials(credentials),
        "description": description,
        "graph_version": version,
    }
    changes = {key: value for key, value in named.items() if value is not None}
    with shell.api() as api:
        preset = api.presets.update(preset_id, **changes)
    shell.answer(preset, _described(preset))


@command(presets, "delete")
def delete_preset(shell: Shell, preset_id: PresetId) -> None:
    """Delete a preset."""
    with shell.api() as api:
        api.presets.delete(preset_id)
    shell.answer({"deleted": preset_id}, [f"{preset_id}  deleted"])


@command(presets, "run")
def run_preset(
    shell: Shell,
    preset_id: PresetId,
    given: Given = None,
    inputs: InputsFile = None,
    credentials: Credentials = None,
    budget: Budget = None,
    is_followed: Follow = False,
) -> None:
    """Execute the graph of a preset with what it holds; what is given here wins."""
    values = read_inputs(inputs, given)
    chosen = read_credentials(credentials)
    with shell.api() as api:
        with starting():
            execution = api.presets.execute(preset_id, values, credentials_inputs=chosen, budget=budget)
        if is_followed:
            follow(shell, api, execution)
    shell.answer(execution, [f"{execution['id']}  {execution['status']}"])


def _described(preset: Preset) -> Iterator[str]:
    yield f"{preset['id']}  {preset['name']}"
    if preset["description"]:
        yield preset["description"]
    version = f" (version {preset['graph_version']})" if preset["graph_version"] else ""
    yield f"  graph {preset['graph_id']}{version}"
    for name, value in preset["inputs"].items():
        yield f"  input {name}: {shown(value)}"
    for name, value in preset["credentials_inputs"].items():
        yield f"  credentials {name}: {shown(value)}"
