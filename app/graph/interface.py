"""What a graph looks like from outside: its run inputs and outputs, their schemas, and whether given inputs fit.

Also which links are static, which follows from the blocks that they start at. Graphs are taken as validated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic.errors import PydanticUserError

from app.graph.annotations import without_none
from app.graph.coercion import coerce, is_faithful, pin_type
from app.graph.definition import GraphDefinition, Node
from app.graph.node_checks import NAME
from app.graph.pins import base_name, fold
from app.graph.placeholders import MISSING_BLOCK
from app.graph.problems import NodeErrors, Problems
from app.graph.signature import PAYLOAD, BlockSignature, Kind
from app.graph.validation import Signatures
from app.graph.wording import misfit, quoted

_VALUE = "value"
_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Port:
    """A run input or output: an input or output node, seen from outside."""

    node_id: str
    name: str
    annotation: Any
    """The type of its values, null left out."""
    default: Any
    """What the node holds; None for nothing."""
    is_required: bool
    title: str
    description: str | None
    is_secret: bool
    is_advanced: bool
    choices: tuple[Any, ...]
    """What the value is chosen from; empty for anything."""
    columns: tuple[str, ...]
    """The columns of a table; empty for anything else."""


def list_run_inputs(graph: GraphDefinition, signatures: Signatures) -> list[Port]:
    """Return the inputs that a run can be given by name, in the graph's order."""
    fed = {link.sink_id for link in graph.links if base_name(link.sink_name) == _VALUE}
    named = [_make_port(node, block, node.id in fed) for node, block in _named(graph, signatures, Kind.INPUT)]
    return [*named, *_list_payloads(graph, signatures)]


def list_run_outputs(graph: GraphDefinition, signatures: Signatures) -> list[Port]:
    """Return the outputs that a run gives by name, in the graph's order."""
    return [_make_port(node, block, is_fed=False) for node, block in _named(graph, signatures, Kind.OUTPUT)]


def input_schema(graph: GraphDefinition, signatures: Signatures) -> dict[str, Any]:
    """Return the JSON schema of a run's inputs.

    In a graph that passes run inputs on by any name, the names that its links ask for are shown too.
    """
    schema = _schema_of(list_run_inputs(graph, signatures))
    passing = _pass_through_nodes(graph, signatures)
    for link in graph.links:
        if link.source_id in passing:
            name = base_name(link.source_name)
            schema["properties"].setdefault(name, {"title": name, "advanced": False, "secret": False})
    schema["additionalProperties"] = bool(passing)
    return schema


def output_schema(graph: GraphDefinition, signatures: Signatures) -> dict[str, Any]:
    """Return the JSON schema of one value of each of a run's outputs."""
    return _schema_of(list_run_outputs(graph, signatures))


def recompute_static(graph: GraphDefinition, signatures: Signatures) -> GraphDefinition:
    """Return the graph with every link static that starts at a static block; one that is static already stays so."""
    static = {
        node.id
        for node in graph.nodes
        if (block := signatures.get(node.block_id)) is not None and block.is_static
    }
    return graph.with_links(
        [
            replace(link, is_static=True) if link.source_id in static and not link.is_static else link
            for link in graph.links
        ]
    )


def drop_needless_marks(graph: GraphDefinition, signatures: Signatures) -> GraphDefinition:
    """Return the graph with no mark of a missing block on a node whose block exists."""
    return replace(
        graph,
        nodes=tuple(
            replace(node, metadata={key: node.metadata[key] for key in node.metadata if key != MISSING_BLOCK})
            if MISSING_BLOCK in node.metadata and signatures.get(node.block_id) is not None
            else node
            for node in graph.nodes
        ),
    )


def check_run_inputs(
    graph: GraphDefinition, signatures: Signatures, inputs: Mapping[str, Any], *, is_partial: bool = False
) -> NodeErrors:
    """Return what is wrong with the inputs of a run; nothing when it can start.

    An input that is missing or does not fit is a problem of its node, a name that no node has one of the graph.

    Args:
        graph: What is to run.
        signatures: The blocks there are.
        inputs: By name.
        is_partial: Whether others come later, so that none is missing yet.
    """
    problems = Problems()
    ports = list_run_inputs(graph, signatures)
    names = dict.fromkeys(port.name for port in ports)
    if not _pass_through_nodes(graph, signatures):
        known = _only(list(names))
        for name in inputs:
            if name not in names:
                problems.add_to_graph(name, f"This graph has no input {quoted(name)}; {known}")
    for port in ports:
        if is_partial and inputs.get(port.name) is None:
            continue
        message = _problem_with(port, inputs.get(port.name))
        if message is not None:
            problems.add(port.node_id, port.name, message)
    return problems.node_errors


def _problem_with(port: Port, value: Any) -> str | None:
    if value is None:
        return f"The input {quoted(port.name)} is required" if port.is_required else None
    if not is_faithful(value, port.annotation):
        return misfit(port.name, value, port.annotation, is_secret=port.is_secret)
    if port.choices and coerce(value, port.annotation) not in port.choices:
        return f"{quoted(port.name)} is none of the options of this input"
    return None


def _only(names: list[str]) -> str:
    if not names:
        return "it takes none"
    shown = ", ".join(map(quoted, names[:_MOST_NAMES]))
    return f"it takes {shown}" + (" and more" if len(names) > _MOST_NAMES else "")


def _pass_through_nodes(graph: GraphDefinition, signatures: Signatures) -> set[str]:
    return {
        node.id
        for node in graph.nodes
        if (block := signatures.get(node.block_id)) is not None
        and block.kind is Kind.INPUT
        and block.takes_any_input
    }


def _named(
    graph: GraphDefinition, signatures: Signatures, kind: Kind
) -> Iterator[tuple[Node, BlockSignature]]:
    for node in graph.nodes:
        block = signatures.get(node.block_id)
        if block is not None and block.kind is kind and not block.takes_any_input:
            name = node.input_default.get(NAME)
            if isinstance(name, str) and name:
                yield node, block


def _list_payloads(graph: GraphDefinition, signatures: Signatures) -> Iterator[Port]:
    fed = {link.sink_id for link in graph.links if base_name(link.sink_name) == PAYLOAD}
    for node in graph.nodes:
        block = signatures.get(node.block_id)
        if block is not None and block.kind is Kind.TRIGGER:
            # Saved graphs carry an empty one where none has been given.
            default = fold(node.input_default).get(PAYLOAD) or None
            yield Port(
                node_id=node.id,
                name=PAYLOAD,
                annotation=block.inputs[PAYLOAD].annotation,
                default=default,
                is_required=default is None and node.id not in fed,
                title=PAYLOAD,
                description=None,
                is_secret=False,
                is_advanced=False,
                choices=(),
                columns=(),
            )


def _make_port(node: Node, block: BlockSignature, is_fed: bool) -> Port:
    constants = fold(node.input_default)
    pin = block.inputs.get(_VALUE)
    declared = Any if pin is None else pin.annotation
    # A pin that is neither required nor nullable has a default of its own.
    has_default = pin is not None and not pin.is_required and not pin_type(declared).is_nullable
    annotation = without_none(declared)
    default = coerce(constants.get(_VALUE), annotation)
    title, description = constants.get("title"), constants.get("description")
    return Port(
        node_id=node.id,
        name=constants[NAME],
        annotation=annotation,
        default=default,
        is_required=default is None and not has_default and not is_fed,
        title=title if isinstance(title, str) and title else constants[NAME],
        description=description if isinstance(description, str) and description else None,
        is_secret=coerce(constants.get("secret"), bool) is True,
        is_advanced=coerce(constants.get("advanced"), bool) is True and default is not None,
        choices=_choices(constants, block, annotation),
        columns=_columns(constants, block),
    )


def _choices(constants: Mapping[str, Any], block: BlockSignature, annotation: Any) -> tuple[Any, ...]:
    if "options" not in block.inputs:
        return ()
    # The name that older graphs have for the options.
    options = constants.get("options") or constants.get("placeholder_values") or []
    texts = [coerce(option, annotation) for option in coerce(options, list[Any])]
    return tuple(dict.fromkeys(text for text in texts if isinstance(text, str)))


def _columns(constants: Mapping[str, Any], block: BlockSignature) -> tuple[str, ...]:
    if "column_headers" not in block.inputs:
        return ()
    return tuple(coerce(constants.get("column_headers"), list[str]) or ())


def _schema_of(ports: list[Port]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required: dict[str, None] = {}
    plain: dict[int, dict[str, Any]] = {}
    for port in ports:
        if id(port.annotation) not in plain:
            plain[id(port.annotation)] = _type_schema(port.annotation)
        shape = dict(plain[id(port.annotation)])
        definitions |= shape.pop("$defs", {})
        properties.setdefault(port.name, shape | _words_of(port))
        if port.is_required:
            required[port.name] = None
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return schema | ({"$defs": definitions} if definitions else {})


def _type_schema(annotation: Any) -> dict[str, Any]:
    adapter = pin_type(annotation).adapter
    try:
        schema = {} if adapter is None else adapter.json_schema()
    except PydanticUserError:
        schema = {}
    return {key: value for key, value in schema.items() if key not in ("title", "description", "default")}


def _words_of(port: Port) -> dict[str, Any]:
    words: dict[str, Any] = {"title": port.title, "secret": port.is_secret, "advanced": port.is_advanced}
    if port.description is not None:
        words["description"] = port.description
    if port.default is not None and not port.is_secret:
        words["default"] = port.default
    if port.choices:
        words["enum"] = list(port.choices)
    if port.columns:
        words["items"] = {
            "type": "object",
            "properties": {column: {"title": column} for column in port.columns},
        }
    return words
