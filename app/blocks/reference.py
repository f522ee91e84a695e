"""Writes the reference of the blocks for people: `python -m app.blocks.reference > docs/reference/blocks.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.blocks.base import Block, BlockCategory
from app.blocks.registry import make_registry
from app.graph.costs import Cost
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Kind, Lane

_MOST_CHOICES = 12
_MOST_COSTS = 3
_HEADINGS: Mapping[BlockCategory, str] = {
    BlockCategory.INPUT: "Inputs of a graph",
    BlockCategory.OUTPUT: "Outputs",
    BlockCategory.BASIC: "Basics",
    BlockCategory.LOGIC: "Logic and arithmetic",
    BlockCategory.TEXT: "Text",
    BlockCategory.DATA: "Data",
    BlockCategory.AI: "Language models",
    BlockCategory.SEARCH: "The web",
    BlockCategory.AGENT: "Agents",
    BlockCategory.COMMUNICATION: "Messages",
    BlockCategory.MULTIMEDIA: "Files and media",
    BlockCategory.DEVELOPER_TOOLS: "Tools of developers",
}
_INTRODUCTION = """# Blocks

<!-- Made by `make docs` from the code; what is changed here by hand is lost. -->

Every block there is, under the first of its categories. A node names one by its id, its slug or its class name. Pins
marked * are required. Every block that is neither an input nor an output also has the output `error`: a text that says
why it failed. The [glossary](../glossary.md) says what lanes, effects and static links are, and
[Add a block](../howto/add-a-block.md) how to make one of your own. The same as JSON: `GET /api/blocks`.
"""


def write_reference(blocks: Iterable[Block]) -> str:
    """Return the page, in Markdown."""
    # A category that nobody gave a heading comes last.
    by_category: dict[BlockCategory, list[Block]] = {
        category: [] for category in (*_HEADINGS, *BlockCategory)
    }
    for block in blocks:
        by_category[block.categories[0]].append(block)
    parts = [_INTRODUCTION, _contents(by_category)]
    for category, members in by_category.items():
        if members:
            parts.append(f"## {_heading(category)}\n")
            parts += ["\n".join(_section(block)) for block in members]
    return "\n".join(parts)


def _contents(by_category: Mapping[BlockCategory, list[Block]]) -> str:
    return "".join(
        f"- {_heading(category)}: "
        + ", ".join(f"[{block.name}](#{block.name.lower()})" for block in members)
        + "\n"
        for category, members in by_category.items()
        if members
    )


def _heading(category: BlockCategory) -> str:
    return _HEADINGS.get(category) or category.value.replace("_", " ").capitalize()


def _section(block: Block) -> Iterator[str]:
    yield f"### {block.name}\n"
    yield f"{block.description}\n"
    yield f"`{block.id}` · `{block.signature.slug}` · {' · '.join(_facts(block))}\n"
    yield from _pins("input", block.Input.model_json_schema(), block.signature.required)
    yield from _pins("output", block.Output.model_json_schema(), frozenset())


def _facts(block: Block) -> Iterator[str]:
    if block.kind is Kind.NOTE:
        yield "never executed"
        return
    yield f"lane `{block.lane.value}`"
    if block.lane is Lane.REMOTE:
        yield f"effect `{block.effect.value}`"
    if block.pool:
        yield f"pool `{block.pool}`"
    yield from _costs(block.costs)
    yield from (_need(pin, need) for pin, need in block.credentials.items())
    if block.setting:
        yield f"off until `{block.setting}` is set"
    traits = {
        "static": block.is_static,
        "sensitive": block.is_sensitive,
        "takes any further input": block.takes_any_input,
        "gives any further output": block.gives_any_output,
    }
    yield from (trait for trait, is_so in traits.items() if is_so)


def _costs(costs: Sequence[Cost]) -> Iterator[str]:
    if len(costs) <= _MOST_COSTS:
        yield from map(_cost, costs)
        return
    rates = [cost.credits for cost in costs]
    deciding = ", ".join(
        f"`{name}`" for name in dict.fromkeys(name for cost in costs for name in cost.filter)
    )
    amounts = f"{min(rates)} to {max(rates)} credits"
    yield f"{_priced(amounts, costs[0])}, by {deciding}"


def _cost(cost: Cost) -> str:
    unit = "credit" if cost.credits == 1 else "credits"
    condition = " and ".join(f"`{name}` is {_quoted(value)}" for name, value in cost.filter.items())
    return _priced(f"{cost.credits} {unit}", cost) + (f" when {condition}" if condition else "")


def _priced(credits: str, cost: Cost) -> str:  # noqa: A002 - as everywhere
    if cost.type == "run":
        return f"{credits} per run"
    if cost.type == "tokens":
        return f"what its tokens cost, estimated at {credits} per run"
    return f"{cost.amount} credits per {cost.divisor} {cost.type}"


def _need(pin: str, need: CredentialsNeed) -> str:
    kinds = " or ".join(kind.value for kind in need.types)
    providers = ", ".join(need.providers[:_MOST_CHOICES]) or "any provider"
    return f"`{pin}`: {kinds} of {providers}" + ("" if need.is_required else ", optional")


def _pins(direction: str, schema: Mapping[str, Any], required: frozenset[str]) -> Iterator[str]:
    pins = schema.get("properties", {})
    if not pins:
        return
    definitions = schema.get("$defs", {})
    yield f"| {direction} | type | |"
    yield "|---|---|---|"
    for name, pin in pins.items():
        mark = "*" if name in required else ""
        about = [pin.get("description", "")]
        if direction == "input" and name not in required and pin.get("default") not in (None, "", [], {}):
            about.append(f"Default {_quoted(pin['default'])}.")
        yield f"| `{name}`{mark} | {_type_of(pin, definitions)} | {_cell(' '.join(filter(None, about)))} |"
    yield ""


def _type_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _type_of(definitions[name], {}) if "enum" in definitions[name] else _named(name)
    if "enum" in schema:
        choices = [_quoted(choice) for choice in schema["enum"][:_MOST_CHOICES]]
        return ", ".join(choices) + (", …" if len(schema["enum"]) > _MOST_CHOICES else "")
    if "const" in schema:
        return _quoted(schema["const"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_type_of(part, definitions) for part in schema[union]))
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}), definitions)}"
    return _named(schema.get("format") or schema.get("type") or "any")


def _named(name: str) -> str:
    names = {"string": "text", "object": "dictionary", "integer": "whole number", "boolean": "true or false"}
    return names.get(name, name)


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text)}`" if "`" not in text else _cell(text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(write_reference(make_registry()))
