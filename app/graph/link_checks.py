"""Checks the links of a graph: that both ends are there, and that the pins are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.graph.definition import GraphDefinition, Link
from app.graph.pins import PinNameInvalid, base_name
from app.graph.placeholders import FORMER_PINS, NO_PINS, FormerPins, former_pins
from app.graph.problems import Problems
from app.graph.signature import BlockSignature, Kind
from app.graph.tools import LAST_TOOL_OUTPUT, LOOP_PINS, is_tool_pin
from app.graph.wording import quoted


def check_links(
    graph: GraphDefinition,
    blocks: Mapping[str, BlockSignature | None],
    problems: Problems,
    *,
    is_lenient: bool = False,
) -> None:
    """Find the links that lead nowhere.

    Args:
        graph: The graph.
        blocks: The signature of every node by its id; None for an unknown block, whose pins are not judged.
        problems: Where the problems go.
        is_lenient: Whether blocks that call tools may be fed a part of what they are resumed with.
    """
    ids = set[str]()
    if not is_lenient:
        _check_loops(graph, blocks, problems)
    former = {node.id: former_pins(node) for node in graph.nodes if FORMER_PINS in node.metadata}
    for link in graph.links:
        if link.id and link.id in ids:
            problems.add_to_graph("links", f"Two links have the id {quoted(link.id)}")
        ids.add(link.id)
        if _has_both_ends(link, blocks, problems):
            _check_source(link, blocks[link.source_id], former.get(link.source_id, NO_PINS), problems)
            _check_sink(link, blocks[link.sink_id], former.get(link.sink_id, NO_PINS), problems)


def _check_loops(
    graph: GraphDefinition, blocks: Mapping[str, BlockSignature | None], problems: Problems
) -> None:
    """Find blocks that call tools and are fed only a part of what they are resumed with."""
    linked: dict[str, set[str]] = {}
    for link in graph.links:
        block = blocks.get(link.sink_id)
        if block is None or not block.calls_tools or link.sink_name not in LOOP_PINS:
            continue
        linked.setdefault(link.sink_id, set()).add(link.sink_name)
        source = blocks.get(link.source_id)
        if link.sink_name == LAST_TOOL_OUTPUT and (
            link.is_static or (source is not None and source.is_static)
        ):
            message = "What a tool has given comes over a link that keeps no value: this one starts at a static output"
            problems.add(link.sink_id, link.sink_name, message)
    for node_id, names in linked.items():
        for name in sorted(LOOP_PINS - names):
            other = quoted(next(iter(names)))
            problems.add(node_id, name, f"{quoted(name)} and {other} are linked both or not at all")


def _has_both_ends(link: Link, blocks: Mapping[str, BlockSignature | None], problems: Problems) -> bool:
    has_source, has_sink = link.source_id in blocks, link.sink_id in blocks
    if has_source and not has_sink:
        message = f"A link leads to {quoted(link.sink_id)}, which is no node"
        problems.add(link.source_id, link.source_name, message)
    elif has_sink and not has_source:
        message = f"A link comes from {quoted(link.source_id)}, which is no node"
        problems.add(link.sink_id, link.sink_name, message)
    elif not has_source:
        message = f"A link leads from {quoted(link.source_id)} to {quoted(link.sink_id)}: neither is a node"
        problems.add_to_graph("links", message)
    return has_source and has_sink


def _check_source(link: Link, block: BlockSignature | None, former: FormerPins, problems: Problems) -> None:
    if block is None:
        return
    if block.kind is Kind.NOTE:
        message: str | None = "No link can start at a note"
    else:
        is_open = block.gives_any_output or link.source_name in former.outputs
        is_open |= block.calls_tools and is_tool_pin(link.source_name)
        message = _problem_of_pin(link.source_name, block.outputs, "output", is_open=is_open)
    if message is not None:
        problems.add(link.source_id, link.source_name, message)


def _check_sink(link: Link, block: BlockSignature | None, former: FormerPins, problems: Problems) -> None:
    if block is None:
        return
    if block.kind is Kind.NOTE:
        message: str | None = "No link can lead to a note"
    else:
        is_open = block.takes_any_input or link.sink_name in former.inputs
        message = _problem_of_pin(link.sink_name, block.inputs.keys(), "input", is_open=is_open)
    if message is not None:
        problems.add(link.sink_id, link.sink_name, message)


def _problem_of_pin(name: str, declared: Collection[str], direction: str, *, is_open: bool) -> str | None:
    if name in declared:
        return None
    if not name:
        return f"A link has no name for its {direction} here"
    try:
        base = base_name(name)
    except PinNameInvalid as error:
        return error.message
    return None if is_open or base in declared else f"This block has no {direction} {quoted(base)}"
