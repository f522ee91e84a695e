"""What commands are given: values by name, JSON files, and graphs by their names."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import ExitCode, fail

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
Credentials = Annotated[
    list[str] | None,
    typer.Option(
        "--credentials",
        metavar="NEED=ID",
        help="Which credentials to use for a need of the graph. Repeatable.",
    ),
]
OfGraph = Annotated[str | None, typer.Option("--graph", metavar="GRAPH", help="Only those of this graph.")]
PresetOption = Annotated[
    str | None, typer.Option("--preset", metavar="ID", help="Inputs and credentials kept in advance.")
]
Budget = Annotated[int | None, typer.Option(min=0, help="The most credits that it may cost.")]
JsonFile = Annotated[Path, typer.Argument(metavar="FILE", help="JSON; `-` for standard input.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; else it is printed.")
]


def read_inputs(file: Path | None, given: list[str] | None) -> dict[str, Any]:
    """Return the inputs of a file, and over them those that were typed."""
    return ({} if file is None else read_object(file)) | dict(map(_pair, given or []))


def read_credentials(given: list[str] | None) -> dict[str, str] | None:
    """Return which credentials were chosen, by what they are needed for; None for no choice."""
    return dict(map(_split, given)) if given else None


def read_secret(file: Path | None) -> str | None:
    """Return what a file holds without the line break at its end, or None without a file."""
    return None if file is None else _read_text(file).rstrip("\r\n")


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds; end the command when it holds none."""
    try:
        document = _parsed(_read_text(file))
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
    if _is_id(ref):
        return ref
    ids = [graph["id"] for graph in api.graphs.list() if graph["name"] == ref]
    if not ids:
        fail(f"You have no graph {ref!r}")
    if len(ids) > 1:
        fail(f"You have {len(ids)} graphs {ref!r}, say which: {', '.join(ids)}")
    return ids[0]


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _pair(text: str) -> tuple[str, Any]:
    name, value = _split(text)
    try:
        return name, _parsed(value)
    except (ValueError, RecursionError):
        return name, value


def _split(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (separator and name):
        fail(f"{text!r} is not NAME=VALUE", ExitCode.MISUSED)
    return name, value


def _read_text(file: Path) -> str:
    try:
        if str(file) == STANDARD_INPUT:
            # Whatever the locale says: JSON is UTF-8.
            return sys.stdin.buffer.read().decode("utf-8-sig")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file} is no UTF-8")


def _parsed(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: It is no JSON, or what Python takes for such and nobody else does.
    """
    value = json.loads(text)
    # No NaN, no number that is too large to be one, no half of a character.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return value
