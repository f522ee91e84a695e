"""A few blocks as the core sees them, and a short way to write graphs of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from app.graph.definition import GraphDefinition, Link, Node
from app.graph.signature import BlockSignature, InputPin, Kind, Lane


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int = 0


def make_block(
    slug: str,
    pins: Mapping[str, Any] | None = None,
    *,
    required: frozenset[str] | set[str] = frozenset(),
    outputs: frozenset[str] | set[str] = frozenset({"out"}),
    kind: Kind = Kind.STANDARD,
    takes_any_input: bool = False,
    gives_any_output: bool = False,
    is_static: bool = False,
) -> BlockSignature:
    return BlockSignature(
        id=f"id-of-{slug}",
        slug=slug,
        name=slug.title(),
        kind=kind,
        lane=Lane.LOCAL,
        pool="",
        inputs={
            name: InputPin(annotation, is_required=name in required)
            for name, annotation in (pins or {}).items()
        },
        outputs=frozenset(outputs)
        | (frozenset() if kind in (Kind.INPUT, Kind.OUTPUT) else frozenset({"error"})),
        takes_any_input=takes_any_input,
        gives_any_output=gives_any_output,
        is_static=is_static,
    )


def make_input(slug: str, value: Any, **more: Any) -> BlockSignature:
    pins = {"name": str, "value": value, "title": str | None, "description": str | None, "advanced": bool}
    return make_block(
        slug,
        pins | {"secret": bool} | more,
        required={"name"},
        outputs={"result"},
        kind=Kind.INPUT,
        is_static=True,
    )


BLOCKS = (
    make_input("input", Any),
    make_input("text_input", str | None),
    make_input("number_input", int | None),
    make_input("toggle_input", bool),
    make_input("person_input", Person | None),
    make_input("choice_input", str | None, options=list[Any]),
    make_input("table_input", list[dict[str, Any]] | None, column_headers=list[str]),
    make_block("any_input", kind=Kind.INPUT, takes_any_input=True, gives_any_output=True, is_static=True),
    make_block(
        "output",
        {"name": str, "value": Any, "title": str | None, "description": str | None},
        required={"name"},
        outputs={"output", "name"},
        kind=Kind.OUTPUT,
        is_static=True,
    ),
    make_block(
        "nested",
        {
            "graph_id": str,
            "graph_version": int | None,
            "inputs": dict[str, Any],
            "nodes_input_masks": dict[str, Any] | None,
        },
        required={"graph_id"},
        outputs=set(),
        kind=Kind.NESTED,
        takes_any_input=True,
        gives_any_output=True,
    ),
    make_block(
        "trigger",
        {"payload": dict[str, Any], "constants": dict[str, Any]},
        outputs={"payload", "constants"},
        kind=Kind.TRIGGER,
    ),
    make_block("note", {"text": str}, required={"text"}, outputs={"output"}, kind=Kind.NOTE),
    make_block("echo", {"input": Any, "credentials": Any}, required={"input", "credentials"}),
    make_block("store", {"input": Any, "data": Any}, is_static=True),
    make_block(
        "typed",
        {
            "count": int,
            "ratio": float,
            "text": str,
            "flag": bool,
            "items": list[str],
            "numbers": list[int],
            "values": dict[str, Any],
            "ages": dict[str, int],
            "mode": Literal["fast", "slow"],
            "limit": int | None,
            "person": Person,
            "api_key": int,
        },
    ),
    make_block(
        "open",
        {"prompt": str},
        required={"prompt"},
        takes_any_input=True,
        gives_any_output=True,
    ),
)
SIGNATURES: Mapping[str, BlockSignature] = {ref: block for block in BLOCKS for ref in (block.id, block.slug)}


def node(id: str, block: str = "store", /, *, metadata: Any = None, **constants: Any) -> Node:
    """Return a node; its block is `store` unless another is named."""
    return Node(id, block, constants, metadata or {})


def link(text: str, *, id: str = "", is_static: bool = False) -> Link:
    """Return a link written as `a.out -> b.input`."""
    (source_id, source_name), (sink_id, sink_name) = (end.strip().split(".", 1) for end in text.split("->"))
    return Link(source_id, sink_id, source_name, sink_name, id, is_static)


def graph(*parts: Node | str | Link) -> GraphDefinition:
    """Return a graph of nodes and links; a text is a link."""
    links = [link(part) if isinstance(part, str) else part for part in parts if not isinstance(part, Node)]
    return GraphDefinition(tuple(part for part in parts if isinstance(part, Node)), tuple(links))
