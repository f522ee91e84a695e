"""Graphs that execute other graphs: which versions they name, and whether names, pins and depth are right.

Where graphs are kept, and whose they are, is not known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeAlias

from app.graph.coercion import coerce
from app.graph.credential_needs import NodeNeed
from app.graph.definition import GraphDefinition, Node
from app.graph.interface import list_run_inputs
from app.graph.node_checks import given_fields
from app.graph.pins import PinNameInvalid, base_name, fold, is_dynamic
from app.graph.problems import NodeErrors, Problems
from app.graph.signature import BlockSignature, Kind
from app.graph.validation import Signatures
from app.graph.wording import quoted

GRAPH_ID = "graph_id"
GRAPH_VERSION = "graph_version"
INPUTS = "inputs"
MASKS = "nodes_input_masks"
ERROR_PIN = "error"
MAX_NESTED = 500
"""How many versions may be nested in one, counted once each, at all depths together."""
MAX_VERSION = 2**31 - 1
_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class GraphRef:
    """What a node names: a version of a graph, or whichever is active."""

    graph_id: uuid.UUID
    version: int | None = None
    """None for the active one."""


@dataclass(frozen=True, slots=True)
class NestedGraph:
    """A version that is nested in another, seen from outside."""

    graph_id: uuid.UUID
    version: int
    name: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    nests: tuple[GraphRef, ...]
    """What is nested in it."""
    is_deleted: bool = False
    """Its graph was deleted: what nests it goes on executing it, but nothing new may name it."""
    credential_needs: tuple[NodeNeed, ...] = ()
    """Of its own nodes."""


Found: TypeAlias = Mapping[GraphRef, NestedGraph]
"""Every version that is nested somewhere below, and for every graph also its active one; what is missing does not
exist for the owner."""


def list_refs(graph: GraphDefinition, signatures: Signatures) -> tuple[GraphRef, ...]:
    """Return what the nodes of a graph name, each once. What is not of the form it has to be is left out."""
    refs = (read_ref(node.input_default) for node, _ in _nested_nodes(graph, signatures))
    return tuple(dict.fromkeys(ref for ref in refs if ref is not None))


def read_ref(constants: Mapping[str, Any]) -> GraphRef | None:
    """Return which version a node's constants name, or None when they are not of the form they have to be."""
    version = coerce(constants.get(GRAPH_VERSION), int)
    if version is not None and (not isinstance(version, int) or not 1 <= version <= MAX_VERSION):
        return None
    graph_id = read_graph_id(constants.get(GRAPH_ID))
    return None if graph_id is None else GraphRef(graph_id, version)


def read_graph_id(text: Any) -> uuid.UUID | None:
    """Return the id in a text, or None when there is none."""
    try:
        return uuid.UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def list_below(refs: Sequence[GraphRef], found: Found) -> list[NestedGraph]:
    """Return all that is nested below some references, each version once, the nearest first."""
    below: dict[tuple[uuid.UUID, int], NestedGraph] = {}
    seen, level = set(refs), list(refs)
    while level:
        graphs = [found[ref] for ref in level if ref in found]
        for nested in graphs:
            below.setdefault((nested.graph_id, nested.version), nested)
        level = list(dict.fromkeys(ref for nested in graphs for ref in nested.nests if ref not in seen))
        seen.update(level)
    return list(below.values())


def check_nesting(graph: GraphDefinition, signatures: Signatures, found: Found) -> NodeErrors:
    """Return what is wrong with the nodes that execute other graphs: what they name, give and take.

    Args:
        graph: The graph to be saved.
        signatures: Of the blocks that it uses.
        found: What the owner has of what it names.
    """
    problems = Problems()
    sinks: dict[str, list[str]] = {}
    sources: dict[str, list[str]] = {}
    for link in graph.links:
        sinks.setdefault(link.sink_id, []).append(link.sink_name)
        sources.setdefault(link.source_id, []).append(link.source_name)
    for node, block in _nested_nodes(graph, signatures):
        _check_constants(node, block, problems)
        nested = _find(node, found, problems)
        if nested is not None:
            _check_inputs(node, nested, sinks.get(node.id, []), problems)
            _check_outputs(node, nested, sources.get(node.id, []), problems)
    return problems.node_errors


def check_depth(
    graph: GraphDefinition,
    signatures: Signatures,
    found: Found,
    *,
    graph_id: uuid.UUID | None,
    max_depth: int,
) -> NodeErrors:
    """Return which nodes nest too deep, or make the graph contain itself.

    Args:
        graph: The graph to be saved or made active.
        signatures: Of the blocks that it uses.
        found: What the owner has of what it names, at all depths.
        graph_id: Its id; None for a new one, which nothing can contain.
        max_depth: How deep graphs may be nested.
    """
    problems = Problems()
    if len(list_below(list_refs(graph, signatures), found)) > MAX_NESTED:
        problems.add_to_graph("nodes", f"More than {MAX_NESTED} graphs are nested in this one")
        return problems.node_errors
    walked: dict[GraphRef, tuple[set[uuid.UUID], bool]] = {}
    for node, _ in _nested_nodes(graph, signatures):
        ref = read_ref(node.input_default)
        if ref is None:
            continue
        if ref not in walked:
            walked[ref] = _walk(ref, found, max_depth)
        ids, is_bounded = walked[ref]
        if graph_id in ids:
            problems.add(node.id, GRAPH_ID, "The graph would contain itself")
        elif not is_bounded:
            problems.add(node.id, GRAPH_ID, f"Graphs can be nested {max_depth} deep; this is deeper")
    return problems.node_errors


def bind_run_inputs(
    graph: GraphDefinition, signatures: Signatures, constants: Mapping[str, Any], linked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the run inputs of a nested graph. What came over links is fitted to its type, as it is at any pin.

    Args:
        graph: The nested graph.
        signatures: Of the blocks that it uses.
        constants: What the node says, by name; a null says nothing.
        linked: What arrived over links, by pin name. It wins over the constants.

    Raises:
        PinNameInvalid: A dynamic name is impossible, or leads into a value of another kind.
    """
    ports = {port.name: port for port in list_run_inputs(graph, signatures)}
    given = {name: value for name, value in constants.items() if value is not None} | dict(linked)
    whole = {name: value for name, value in given.items() if name in ports or not is_dynamic(name)}
    if len(whole) < len(given):
        parts = {name: value for name, value in given.items() if name not in whole}
        bases = {name: whole[name] for name in map(base_name, parts) if name in whole}
        folded = fold(bases | parts)
        whole |= {name: value for name, value in folded.items() if name not in parts}
    fed = set(map(_field_of, linked, repeat(ports)))
    return {
        name: coerce(value, ports[name].annotation) if name in fed and name in ports else value
        for name, value in whole.items()
    }


def _field_of(name: str, ports: Collection[str]) -> str:
    return name if name in ports else base_name(name)


def _walk(ref: GraphRef, found: Found, max_depth: int) -> tuple[set[uuid.UUID], bool]:
    """Return the graphs at and below a reference, and whether they end within the depth."""
    ids, level = set[uuid.UUID](), {ref}
    for _ in range(max_depth):
        ids |= {each.graph_id for each in level}
        level = {below for each in level if each in found for below in found[each].nests}
        if not level:
            return ids, True
    return ids, False


def _nested_nodes(graph: GraphDefinition, signatures: Signatures) -> Iterator[tuple[Node, BlockSignature]]:
    for node in graph.nodes:
        block = signatures.get(node.block_id)
        if block is not None and block.kind is Kind.NESTED:
            yield node, block


def _check_constants(node: Node, block: BlockSignature, problems: Problems) -> None:
    for name in node.input_default:
        if name not in block.inputs:
            message = f"This block has no field {quoted(name)}; what the graph is given stands in 'inputs'"
            problems.add(node.id, name, message)
    if node.input_default.get(MASKS):
        problems.add(node.id, MASKS, "Constants of the nested graph's own nodes cannot be replaced from here")


def _find(node: Node, found: Found, problems: Problems) -> NestedGraph | None:
    """Return what a node names, if it may."""
    constants = node.input_default
    if constants.get(GRAPH_ID) is None:
        # Reported with the required inputs.
        return None
    graph_id = read_graph_id(constants[GRAPH_ID])
    active = None if graph_id is None else found.get(GraphRef(graph_id))
    if active is None or active.is_deleted:
        problems.add(node.id, GRAPH_ID, f"You have no graph {quoted(str(constants[GRAPH_ID]))}")
        return None
    ref = read_ref(constants)
    if ref is None or ref not in found:
        version = quoted(str(constants[GRAPH_VERSION]))
        problems.add(node.id, GRAPH_VERSION, f"The graph {quoted(active.name)} has no version {version}")
        return None
    return found[ref]


def _check_inputs(node: Node, nested: NestedGraph, sink_names: Sequence[str], problems: Problems) -> None:
    names = nested.input_schema.get("properties", {})
    is_open = bool(nested.input_schema.get("additionalProperties"))
    given = node.input_default.get(INPUTS)
    constants = given_fields(given) if isinstance(given, Mapping) else set[str]()
    if not is_open:
        for name in sink_names:
            if not _has(names, name):
                problems.add(node.id, name, _no_such(nested, "input", name, names))
        for name in given if isinstance(given, Mapping) else ():
            if name in constants and not _has(names, name):
                problems.add(node.id, f"{INPUTS}.{name}", _no_such(nested, "input", name, names))
    supplied = constants | {part for name in sink_names for part in _parts(name)}
    for name in nested.input_schema.get("required", []):
        if name not in supplied:
            message = f"{quoted(name)} is required: link it or give it a value in 'inputs'"
            problems.add(node.id, name, message)


def _check_outputs(node: Node, nested: NestedGraph, source_names: Sequence[str], problems: Problems) -> None:
    names = nested.output_schema.get("properties", {})
    if not names:
        # Its outputs are what its leaves emit, and a leaf may emit anything.
        return
    for name in source_names:
        if name != ERROR_PIN and not _has(names, name):
            problems.add(node.id, name, _no_such(nested, "output", name, names))


def _has(names: Collection[str], name: str) -> bool:
    return any(part in names for part in _parts(name))


def _parts(name: str) -> set[str]:
    """Return what a pin's name may mean: itself, or the field that it leads into."""
    try:
        return {name, base_name(name)}
    except PinNameInvalid:
        return {name}


def _no_such(nested: NestedGraph, direction: str, name: str, names: Collection[str]) -> str:
    known = ", ".join(map(quoted, list(names)[:_MOST_NAMES])) or "none"
    more = " and more" if len(names) > _MOST_NAMES else ""
    return f"The graph {quoted(nested.name)} has no {direction} {quoted(name)}; it has {known}{more}"
