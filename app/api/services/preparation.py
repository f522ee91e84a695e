"""Checks and compiles a graph: work for the processor alone, so it is called beside the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.blocks.registry import BlockRegistry
from app.errors import GraphInvalid
from app.graph.compilation import CompiledGraph, compile_graph
from app.graph.credential_needs import NodeNeed, credentials_schema, list_needs
from app.graph.definition import GraphDefinition, definition_to_json, name_links
from app.graph.interface import drop_needless_marks, input_schema, output_schema, recompute_static
from app.graph.nesting import Found, GraphRef, check_nesting, list_below, list_refs
from app.graph.problems import NodeErrors
from app.graph.validation import validate_graph


@dataclass(frozen=True, slots=True)
class PreparedGraph:
    """A valid graph with all that follows from it."""

    definition: dict[str, Any]
    compiled: CompiledGraph
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    nests: tuple[GraphRef, ...]
    """What its nodes execute."""
    credential_needs: tuple[NodeNeed, ...]
    """Of its own nodes."""
    credentials_schema: dict[str, Any]
    """Of these, and of what is nested in it."""
    nesting_problems: NodeErrors
    """What is wrong with the graphs that it executes; only an imported graph may have any."""


def prepare_graph(
    given: GraphDefinition, registry: BlockRegistry, found: Found, *, is_import: bool = False
) -> PreparedGraph:
    """Check and compile a graph.

    Args:
        given: The graph as its author gave it.
        registry: The blocks there are.
        found: What the author has of the graphs that it executes.
        is_import: Whether it comes from a file: then it is checked leniently, and what is wrong with the graphs that it
            executes is told and no reason to refuse it.

    Raises:
        GraphInvalid: It may not be saved; the details say why.
    """
    signatures = registry.signatures
    graph = recompute_static(drop_needless_marks(given, signatures), signatures)
    graph = graph.with_links(name_links(graph.links))
    problems = validate_graph(graph, signatures, is_lenient=is_import)
    of_nesting = check_nesting(graph, signatures, found)
    if not is_import:
        for node_id, errors in of_nesting.items():
            problems[node_id] = errors | problems.get(node_id, {})
    if problems:
        raise GraphInvalid(problems)
    needs, nests = list_needs(graph, signatures), list_refs(graph, signatures)
    nested = (need for each in list_below(nests, found) for need in each.credential_needs)
    return PreparedGraph(
        definition=definition_to_json(graph),
        compiled=compile_graph(graph, signatures),
        input_schema=input_schema(graph, signatures),
        output_schema=output_schema(graph, signatures),
        nests=nests,
        credential_needs=tuple(needs),
        credentials_schema=credentials_schema([*needs, *nested]),
        nesting_problems=of_nesting,
    )
