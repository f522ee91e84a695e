"""`perdure graphs`: agent files in and out, and what executing a graph would be like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, ApiKey, ApiUrl, AsJson, fail
from app.cli.planning import analysis, estimate

graphs = typer.Typer(help="Graphs of yours.", no_args_is_help=True)
graphs.command()(analysis)
graphs.command()(estimate)


@graphs.command("import")
def import_agent(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported agent file.")],
    name: Annotated[str | None, typer.Option(help="What the graph is to be called.")] = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Take in an exported agent file as it is, and say what was changed and what is missing."""
    document = _read(file)
    if name is not None:
        document["name"] = name
    answer = ApiClient(api_url, api_key).call("POST", "/api/graphs/import", body=document)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    graph, report = answer["graph"], answer["report"]
    print(f"{graph['id']}  {graph['name']}")
    for nested in graph["sub_graphs"]:
        print(f"  nested: {nested['id']}  {nested['name']}")
    for change in report["changes"]:
        place = f" ({change['node_id']})" if change["node_id"] else ""
        print(f"  {change['code']}{place}: {change['message']}")
    needed = report["credentials"].get("required") or []
    if needed:
        print(f"  credentials to choose: {', '.join(needed)}")


@graphs.command("export")
def export_agent(
    graph_id: Annotated[str, typer.Argument(metavar="ID", help="A graph.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Which version; the active one if left out.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write; else it is printed."),
    ] = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Write a graph, with all that is nested in it, as an agent file. No secret is in it."""
    path = f"/api/graphs/{quote(graph_id, safe='')}/export"
    document = ApiClient(api_url, api_key).call("GET", path, params={"version": version})
    text = json.dumps(document, indent=2)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    written = {"file": str(output), "name": document["name"], "version": document["version"]}
    print(json.dumps(written) if as_json else f"{output}  {document['name']} (version {document['version']})")


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        fail(f"{file} is no JSON")
    if not isinstance(document, dict):
        fail(f"{file} is no agent file: it holds no object")
    return document
