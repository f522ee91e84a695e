"""`perdure graphs`: saved, looked at, checked, taken in and given out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.given import GraphRef, JsonFile, Limit, Output, Version, find_graph, read_object, write_document
from app.cli.planning import analysis, estimate
from app.cli.shell import ExitCode, Shell, command
from app.cli.texts import in_columns

if TYPE_CHECKING:
    from perdure.types import Graph, Imported

graphs = typer.Typer(help="Graphs of yours.", no_args_is_help=True)
command(graphs)(analysis)
command(graphs)(estimate)

AUTHORED = ("name", "description", "nodes", "links")
"""What a graph's author writes; everything else follows from it."""


@command(graphs, "list")
def list_graphs(shell: Shell, limit: Limit = 50) -> None:
    """List your graphs, newest first."""
    with shell.api() as api:
        found = list(api.graphs.list(limit=limit))
    rows = (
        (graph["id"], graph["name"], f"version {graph['version']}", graph["created_at"]) for graph in found
    )
    shell.answer(found, in_columns(rows))


@command(graphs, "get")
def get_graph(shell: Shell, graph: GraphRef, version: Version = None) -> None:
    """Show one graph: its nodes, its links, what it takes and what it gives."""
    with shell.api() as api:
        found = api.graphs.get(find_graph(api, graph), version=version)
    shell.answer(found, _described(found))


@command(graphs, "push")
def push_graph(
    shell: Shell,
    file: JsonFile,
    graph: Annotated[
        str | None, typer.Option(metavar="GRAPH", help="Make it a new version of this graph.")
    ] = None,
    is_new: Annotated[bool, typer.Option("--new", help="Make it a graph of its own in any case.")] = False,
) -> None:
    """Save a graph. A file that was pulled becomes a new version of its graph, any other one a new graph."""
    document = read_object(file)
    body = {name: document[name] for name in AUTHORED if name in document}
    with shell.api() as api:
        ref = graph or (None if is_new else document.get("id"))
        graph_id = None if ref is None else find_graph(api, str(ref))
        saved = api.graphs.create(body) if graph_id is None else api.graphs.update(graph_id, body)
    shell.answer(saved, [f"{saved['id']}  {saved['name']} (version {saved['version']})"])


@command(graphs, "pull")
def pull_graph(shell: Shell, graph: GraphRef, version: Version = None, output: Output = None) -> None:
    """Write a graph as its author would, to be changed and pushed again."""
    with shell.api() as api:
        found = api.graphs.get(find_graph(api, graph), version=version)
    authored = {name: found[name] for name in AUTHORED}  # type: ignore[literal-required]  # all of them are keys
    document = {"id": found["id"], **authored}
    _give_out(shell, output, document, found["version"])


@command(graphs, "validate")
def validate_graph(shell: Shell, file: JsonFile) -> None:
    """Say what is wrong with a graph, by node and field, without saving it."""
    document = read_object(file)
    with shell.api() as api:
        found = api.graphs.validate({name: document[name] for name in AUTHORED if name in document})
    problems = [
        f"{node_id}.{field}: {message}"
        for node_id, fields in found["node_errors"].items()
        for field, message in fields.items()
    ]
    shell.answer(found, problems or ["valid"])
    if not found["valid"]:
        raise typer.Exit(ExitCode.FAILED)


@command(graphs, "delete")
def delete_graph(shell: Shell, graph: GraphRef) -> None:
    """Delete a graph with all its versions. What runs goes on."""
    with shell.api() as api:
        graph_id = find_graph(api, graph)
        api.graphs.delete(graph_id)
    shell.answer({"deleted": graph_id}, [f"{graph_id}  deleted"])


@command(graphs, "import")
def import_agent(
    shell: Shell,
    file: JsonFile,
    name: Annotated[str | None, typer.Option(help="What the graph is to be called.")] = None,
) -> None:
    """Take in an exported agent file as it is, and say what was changed and what is missing."""
    document = read_object(file)
    if name is not None:
        document["name"] = name
    with shell.api() as api:
        imported = api.graphs.import_agent(document)
    shell.answer(imported, _reported(imported))


@command(graphs, "export")
def export_agent(shell: Shell, graph: GraphRef, version: Version = None, output: Output = None) -> None:
    """Write a graph, with all that is nested in it, as an agent file. No secret is in it."""
    with shell.api() as api:
        document = api.graphs.export(find_graph(api, graph), version=version)
    _give_out(shell, output, document, document["version"])


def _give_out(shell: Shell, output: Any, document: dict[str, Any], version: int) -> None:
    if output is None:
        Shell(True, None, None, None).answer(document, [])
        return
    write_document(output, document)
    written = {"file": str(output), "name": document["name"], "version": version}
    shell.answer(written, [f"{output}  {document['name']} (version {version})"])


def _described(graph: Graph) -> Iterator[str]:
    active = "" if graph["is_active"] else ", not the active one"
    yield f"{graph['id']}  {graph['name']} (version {graph['version']}{active})"
    if graph["description"]:
        yield graph["description"]
    for schema, word in ((graph["input_schema"], "input"), (graph["output_schema"], "output")):
        required = schema.get("required", []) if word == "input" else []
        for name, pin in schema.get("properties", {}).items():
            mark = "*" if name in required else ""
            yield f"  {word} {name}{mark}: {pin.get('type', 'any')}"
    for node in graph["nodes"]:
        yield f"  node {node['id']}: {node['metadata'].get('title') or node['block_id']}"
    for link in graph["links"]:
        arrow = "=>" if link["is_static"] else "->"
        yield f"  link {link['source_id']}.{link['source_name']} {arrow} {link['sink_id']}.{link['sink_name']}"


def _reported(imported: Imported) -> Iterator[str]:
    graph, report = imported["graph"], imported["report"]
    yield f"{graph['id']}  {graph['name']}"
    for nested in graph["sub_graphs"]:
        yield f"  nested: {nested['id']}  {nested['name']}"
    for change in report["changes"]:
        place = f" ({change['node_id']})" if change["node_id"] else ""
        yield f"  {change['code']}{place}: {change['message']}"
    if needed := report["credentials"].get("required"):
        yield f"  credentials to choose: {', '.join(needed)}"
