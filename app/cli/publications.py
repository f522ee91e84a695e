"""`perdure publications`: graphs that are called by names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.given import (
    Budget,
    Given,
    GraphRef,
    InputsFile,
    Limit,
    PresetOption,
    Version,
    find_graph,
    read_inputs,
)
from app.cli.shell import ExitCode, Shell, command
from app.cli.texts import in_columns, outputs_of, rest_of

if TYPE_CHECKING:
    from perdure.triggers import Publication, Run

publications = typer.Typer(help="Graphs that are called by names.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The name.")]
COMPLETED = "COMPLETED"


@command(publications, "list")
def list_publications(shell: Shell, limit: Limit = 200) -> None:
    """List what you have published, by name."""
    with shell.api() as api:
        found = list(api.publications.list(limit=limit))
    shell.answer(found, in_columns(map(_row_of, found)))


@command(publications, "get")
def get_publication(shell: Shell, graph: GraphRef) -> None:
    """Show how a graph is published."""
    with shell.api() as api:
        publication = api.publications.get(find_graph(api, graph))
    shell.answer(publication, _described(publication))


@command(publications, "publish")
def publish_graph(
    shell: Shell,
    graph: GraphRef,
    slug: Slug,
    description: Annotated[
        str | None, typer.Option(help="What callers and models are told; that of the graph if left out.")
    ] = None,
    version: Version = None,
    preset_id: PresetOption = None,
    budget: Budget = None,
    is_tool: Annotated[bool, typer.Option("--tool", help="Offer it to models over MCP.")] = False,
) -> None:
    """Publish a graph under a name. Of a published graph, change how: what is left out is unset."""
    with shell.api() as api:
        publication = api.publications.publish(
            find_graph(api, graph),
            slug,
            description=description,
            graph_version=version,
            preset_id=preset_id,
            budget=budget,
            is_tool=is_tool,
        )
    shell.answer(publication, _described(publication))


@command(publications, "withdraw")
def withdraw_graph(shell: Shell, graph: GraphRef) -> None:
    """Let a graph no longer be called by its name. Executions go on."""
    with shell.api() as api:
        graph_id = find_graph(api, graph)
        api.publications.withdraw(graph_id)
    shell.answer({"withdrawn": graph_id}, [f"{graph_id}  withdrawn"])


@command(publications, "call")
def call_graph(
    shell: Shell,
    slug: Slug,
    given: Given = None,
    inputs: InputsFile = None,
    budget: Budget = None,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0, max=300, help="How long to wait for its end at most.")
    ] = 50,
) -> None:
    """Call a published graph, and print what came out. Ends as `run --follow` does; with 4 when it goes on."""
    values = read_inputs(inputs, given)
    with shell.api() as api:
        run = api.publications.call(slug, values, timeout_seconds=timeout_seconds, budget=budget)
    shell.answer(run, _ended(run))
    if run["status"] != COMPLETED:
        raise typer.Exit(ExitCode.DETACHED)


def _row_of(publication: Publication) -> tuple[object, ...]:
    tool = "tool" if publication["is_tool"] else ""
    return publication["slug"], publication["graph_id"], f"version {publication['runs_version']}", tool


def _described(publication: Publication) -> Iterator[str]:
    yield f"{publication['slug']}  {publication['url']}"
    yield from rest_of({name: value for name, value in publication.items() if name not in ("slug", "url")})


def _ended(run: Run) -> Iterator[str]:
    yield from outputs_of(run["outputs"])
    if run["status"] != COMPLETED:
        yield f"{run['status']}: perdure executions watch {run['execution_id']}"
