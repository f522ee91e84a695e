"""What commands are given: values by name, JSON files, and graphs by their names."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import fail

if TYPE_CHECKING:
    from perdure import Client

STANDARD_INPUT = "-"

GraphRef = Annotated[
    str, typer.Argument(metavar="GRAPH", help="A graph's id, or its name if no other has it.")
]
ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="An execution.")]
Version = Annotated[int | None, typer.Option(min=1, help="Which version; the active one if left out.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
Given = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="K=V", help="An input; what is JSON is read as such. Repeatable."),
]
InputsFile = Annotated[
    Path | None, typer.Option("--inputs", metavar="FILE", help="Inputs as a JSON object; --input wins.")
]
JsonFile = Annotated[Path, typer.Argument(metavar="FILE", help="JSON; `-` for standard input.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; else it is printed.")
]


def read_inputs(file: Path | None, given: list[str] | None) -> dict[str, Any]:
    """Return the inputs of a file, and over them those that were typed."""
    return ({} if file is None else read_object(file)) | dict(map(_pair, given or []))


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds; end the command when it holds none."""
    try:
        is_piped = str(file) == STANDARD_INPUT
        document = json.loads(sys.stdin.read() if is_piped else file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        fail(f"{file} is no JSON")
    if not isinstance(document, dict):
        fail(f"{file} holds no object")
    return document


def write_document(file: Path, document: Any) -> None:
    """Write JSON to a file; end the command when that cannot be."""
    try:
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def find_graph(api: Client, ref: str) -> str:
    """Return the id of the graph that is meant; end the command when there is none, or more than one."""
    try:
        return str(uuid.UUID(ref))
    except ValueError:
        ids = [graph["id"] for graph in api.graphs.list() if graph["name"] == ref]
    if not ids:
        fail(f"You have no graph {ref!r}")
    if len(ids) > 1:
        fail(f"You have {len(ids)} graphs {ref!r}, say which: {', '.join(ids)}")
    return ids[0]


def _pair(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (separator and name):
        fail(f"{text!r} is no input: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
