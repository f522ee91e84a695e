"""Tools: nodes that a block may call. How a model is told of them, and how what it says becomes inputs of a node."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic.errors import PydanticUserError

from app.blocks.base import Block
from app.blocks.pin_texts import pin_texts
from app.graph.annotations import annotation_at
from app.graph.coercion import pin_type
from app.graph.node_checks import given_fields
from app.graph.pins import split_pin

MAX_NAME_LENGTH = 64
"""The longest name of a tool or of an argument that all providers take."""
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class ToolNode:
    """A node that may be called, as a model sees it."""

    node_id: str
    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""
    pins: Mapping[str, str]
    """By argument: the linked input that it is for."""

    def pin_of(self, argument: str) -> str | None:
        """Return the input that an argument is for, also where a model names the input itself; None for no input."""
        if argument in self.pins:
            return self.pins[argument]
        return next((pin for pin in self.pins.values() if argument in (pin, _clean(pin))), None)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call."""

    call_id: str
    outputs: Sequence[tuple[str, Any]]
    """(pin, value) in the order they were emitted."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a block that calls tools has to go on with."""

    tools: tuple[ToolNode, ...] = ()
    turn: int = 1
    messages: tuple[Any, ...] = ()
    """What was said in the turns before."""
    results: tuple[ToolResult, ...] = ()
    """What came of the calls of the last turn, in their order."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    id: str
    node_id: str
    values: Mapping[str, Any]
    """By input of the node."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Ends a turn: the block runs again when all of these nodes have ended."""

    messages: Sequence[Any]
    """What was said in this turn, JSON."""
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Callee:
    """A node that may be called, as the graph has it."""

    node_id: str
    block: Block
    constants: Mapping[str, Any]
    pins: Sequence[str]
    """The inputs that the links lead to."""
    title: str = ""
    """What the graph's author calls the node."""
    name: str = ""
    """Of a node that executes another graph: that graph's name."""
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict)


def make_tools(callees: Sequence[Callee]) -> tuple[ToolNode, ...]:
    """Return how a model sees some nodes; no two have the same name."""
    taken = set[str]()
    return tuple(_make_tool(callee, taken) for callee in callees)


def _make_tool(callee: Callee, taken: set[str]) -> ToolNode:
    pins: dict[str, str] = {}
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for pin in callee.pins:
        argument = _free_name(_argument_of(pin), pins)
        pins[argument] = pin
        schema = _schema_of(callee, pin)
        definitions |= schema.pop("$defs", {})
        properties[argument] = schema
    required = _required(callee)
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [argument for argument, pin in pins.items() if _field_of(callee, pin) in required],
        "additionalProperties": False,
    }
    if definitions:
        parameters["$defs"] = definitions
    name = _free_name(_clean(callee.title or callee.name or callee.block.name).lower(), taken)
    taken.add(name)
    return ToolNode(callee.node_id, name, callee.description or callee.block.description, parameters, pins)


def _clean(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name)


def _free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name that can be one and is not taken."""
    name = wanted[:MAX_NAME_LENGTH] or "tool"
    number = 2
    while name in taken:
        ending = f"_{number}"
        name = wanted[: MAX_NAME_LENGTH - len(ending)] + ending
        number += 1
    return name


def _argument_of(pin: str) -> str:
    """Return what a model calls an input: of one that leads into a value, the place in it."""
    base, steps = split_pin(pin)
    last = steps[-1].key if steps else base
    return _clean(f"{base}_{last}" if isinstance(last, int) else last)


def _field_of(callee: Callee, pin: str) -> str:
    return pin if pin in callee.block.signature.inputs or pin in _properties_of(callee) else split_pin(pin)[0]


def _properties_of(callee: Callee) -> Mapping[str, Any]:
    properties = callee.input_schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _required(callee: Callee) -> set[str]:
    """Return the fields that only a call can supply."""
    nested = callee.input_schema.get("required")
    if isinstance(nested, Sequence):
        given = callee.constants.get("inputs")
        return set(nested) - (given_fields(given) if isinstance(given, Mapping) else set())
    return set(callee.block.signature.required) - given_fields(callee.constants)


def _schema_of(callee: Callee, pin: str) -> dict[str, Any]:
    properties = _properties_of(callee)
    if pin in properties:
        return _of_run_input(properties[pin], callee.input_schema)
    base, steps = (pin, ()) if pin in callee.block.signature.inputs else split_pin(pin)
    declared = callee.block.signature.inputs.get(base)
    if declared is None:
        return {}
    schema = _type_schema(annotation_at(declared.annotation, steps))
    text = pin_texts(callee.block.Input).get(base)
    if text and not steps:
        schema["description"] = text
    return schema


def _of_run_input(schema: Any, whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a run input without what is meant for forms."""
    shape = {
        key: value for key, value in schema.items() if key not in ("secret", "advanced", "title", "default")
    }
    if "$defs" in whole:
        shape["$defs"] = whole["$defs"]
    return shape


def _type_schema(annotation: Any) -> dict[str, Any]:
    adapter = pin_type(annotation).adapter
    try:
        schema = {} if adapter is None else adapter.json_schema()
    except PydanticUserError:
        schema = {}
    return {key: value for key, value in schema.items() if key not in ("title", "default")}
