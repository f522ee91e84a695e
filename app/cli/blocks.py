"""`perdure blocks`: what nodes can do, looked up and tried out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.given import Given, InputsFile, read_inputs
from app.cli.shell import Shell, command
from app.cli.texts import outputs_of

if TYPE_CHECKING:
    from perdure.types import Block, Trial

blocks = typer.Typer(help="What nodes can do.", no_args_is_help=True)

Ref = Annotated[str, typer.Argument(metavar="BLOCK", help="A block's UUID, slug or class name.")]


@command(blocks, "list")
def list_blocks(
    shell: Shell,
    words: Annotated[str | None, typer.Argument(metavar="[WORDS]", help="What to look for.")] = None,
    category: Annotated[str | None, typer.Option(help="Only blocks of this category.")] = None,
) -> None:
    """List blocks, those that fit best first."""
    with shell.api() as api:
        found = list(api.blocks.list(words, category=category))
    width = max((len(block["slug"]) for block in found), default=0)
    lines = (
        f"{block['slug']:{width}}  {block['description']}{'' if block['is_enabled'] else '  (off)'}"
        for block in found
    )
    shell.answer(found, lines)


@command(blocks, "get")
def get_block(shell: Shell, ref: Ref) -> None:
    """Show one block: its pins, its costs, and whether it is on."""
    with shell.api() as api:
        block = api.blocks.get(ref)
    shell.answer(block, _described(block))


@command(blocks, "run")
def run_block(shell: Shell, ref: Ref, given: Given = None, inputs: InputsFile = None) -> None:
    """Call a block once, and print what it emits."""
    values = read_inputs(inputs, given)
    with shell.api() as api:
        trial = api.blocks.run(ref, values)
    shell.answer(trial, _emitted(trial))


def _described(block: Block) -> Iterator[str]:
    yield f"{block['name']}  {block['slug']}  {block['id']}"
    yield block["description"]
    if not block["is_enabled"]:
        yield f"off: {block['disabled_reason']}"
    for schema, word in ((block["input_schema"], "input"), (block["output_schema"], "output")):
        required = schema.get("required", []) if word == "input" else []
        for name, pin in schema.get("properties", {}).items():
            mark = "*" if name in required else ""
            yield f"  {word} {name}{mark}: {pin.get('description', pin['title'])}"
    for cost in block["costs"]:
        condition = f" when {json.dumps(cost['filter'])}" if cost["filter"] else ""
        yield f"  {_priced(cost)}{condition}"


def _emitted(trial: Trial) -> Iterator[str]:
    yield from outputs_of(trial["outputs"])
    if trial["cost"]:
        yield f"cost: {trial['cost']} credits"


def _priced(cost: dict[str, Any]) -> str:
    if cost["type"] == "run":
        return f"{cost['credits']} credits per run"
    if cost["type"] == "tokens":
        return f"what its tokens cost, estimated at {cost['credits']} credits"
    return f"{cost['amount']} credits per {cost['divisor']} {cost['type']}"
