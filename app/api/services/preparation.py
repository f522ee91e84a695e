"""Checks and compiles a graph: work for the processor alone, so it is called beside the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.blocks.registry import BlockRegistry
from app.errors import GraphInvalid
from app.graph.compilation import CompiledGraph, compile_graph
from app.graph.definition import GraphDefinition, definition_to_json, name_links
from app.graph.interface import input_schema, output_schema, recompute_static
from app.graph.validation import validate_graph


@dataclass(frozen=True, slots=True)
class PreparedGraph:
    """A valid graph with all that follows from it."""

    definition: dict[str, Any]
    compiled: CompiledGraph
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


def prepare_graph(given: GraphDefinition, registry: BlockRegistry) -> PreparedGraph:
    """Check and compile a graph.

    Raises:
        GraphInvalid: It may not be saved; the details say why.
    """
    signatures = registry.signatures
    graph = recompute_static(given, signatures)
    graph = graph.with_links(name_links(graph.links))
    problems = validate_graph(graph, signatures)
    if problems:
        raise GraphInvalid(problems)
    return PreparedGraph(
        definition=definition_to_json(graph),
        compiled=compile_graph(graph, signatures),
        input_schema=input_schema(graph, signatures),
        output_schema=output_schema(graph, signatures),
    )
