"""`perdure blocks`: what nodes can do, looked up and tried out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, ApiKey, ApiUrl, AsJson, fail

blocks = typer.Typer(help="What nodes can do.", no_args_is_help=True)

Ref = Annotated[str, typer.Argument(metavar="BLOCK", help="A block's UUID, slug or class name.")]


@blocks.command("list")
def list_blocks(
    words: Annotated[str | None, typer.Argument(metavar="[WORDS]", help="What to look for.")] = None,
    category: Annotated[str | None, typer.Option(help="Only blocks of this category.")] = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """List blocks, those that fit best first."""
    params = {"q": words, "category": category}
    answer = ApiClient(api_url, api_key).call("GET", "/api/blocks", params=params)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    width = max((len(block["slug"]) for block in answer["items"]), default=0)
    for block in answer["items"]:
        off = "" if block["is_enabled"] else "  (off)"
        print(f"{block['slug']:{width}}  {block['description']}{off}")


@blocks.command("get")
def get_block(
    ref: Ref,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Show one block: its pins, its costs, and whether it is on."""
    block = ApiClient(api_url, api_key).call("GET", _path(ref))
    if as_json:
        print(json.dumps(block, indent=2))
        return
    print(f"{block['name']}  {block['slug']}  {block['id']}\n{block['description']}")
    if not block["is_enabled"]:
        print(f"off: {block['disabled_reason']}")
    for direction in ("input", "output"):
        schema = block[f"{direction}_schema"]
        required = schema.get("required", []) if direction == "input" else []
        for name, pin in schema.get("properties", {}).items():
            mark = "*" if name in required else ""
            print(f"  {direction} {name}{mark}: {pin.get('description', pin['title'])}")
    for cost in block["costs"]:
        condition = f" when {json.dumps(cost['filter'])}" if cost["filter"] else ""
        print(f"  {_priced(cost)}{condition}")


@blocks.command("run")
def run_block(
    ref: Ref,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="K=V", help="An input; what is JSON is read as such. Repeatable."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Inputs as a JSON object; --input wins.")
    ] = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Call a block once, and print what it emits."""
    body = {"inputs": _read(inputs) | dict(map(_pair, given or []))}
    answer = ApiClient(api_url, api_key).call("POST", f"{_path(ref)}/execute", body=body)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    for pin, values in answer["outputs"].items():
        for value in values:
            print(f"{pin}: {value if isinstance(value, str) else json.dumps(value)}")
    if answer["cost"]:
        print(f"cost: {answer['cost']} credits")


def _priced(cost: dict[str, Any]) -> str:
    if cost["type"] == "run":
        return f"{cost['credits']} credits per run"
    if cost["type"] == "tokens":
        return f"what its tokens cost, estimated at {cost['credits']} credits"
    return f"{cost['amount']} credits per {cost['divisor']} {cost['type']}"


def _path(ref: str) -> str:
    return f"/api/blocks/{quote(ref, safe='')}"


def _pair(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        fail(f"{text!r} is no input: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        inputs = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        fail(f"{file} is no JSON")
    if not isinstance(inputs, dict):
        fail(f"{file} holds no object")
    return inputs
