"""The graphs of one file that execute each other: in which order they are made, and under which ids."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.autogpt.constants import SET_ASIDE
from app.autogpt.reading import FileGraph, as_object, as_text, as_version
from app.autogpt.report import Code, GraphReport
from app.errors import GraphInvalid
from app.graph.definition import GraphDefinition, Node
from app.graph.interface import input_schema
from app.graph.nesting import GRAPH_ID, GRAPH_VERSION, INPUTS
from app.graph.pins import PinNameInvalid, base_name
from app.graph.signature import Kind
from app.graph.validation import Signatures
from app.graph.wording import quoted

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class RepairedGraph:
    """A graph of a file under the id that it gets here."""

    file: FileGraph
    id: uuid.UUID
    definition: GraphDefinition
    report: GraphReport


def connect(graphs: Sequence[RepairedGraph], signatures: Signatures) -> list[RepairedGraph]:
    """Return the graphs with their nodes naming each other's new ids, each after those that it executes.

    Args:
        graphs: All of a file.
        signatures: The blocks there are.

    Raises:
        GraphInvalid: A graph would contain itself.
    """
    return _Connecting(graphs, signatures).make()


class _Connecting:
    """The graphs of one file while they are connected."""

    def __init__(self, graphs: Sequence[RepairedGraph], signatures: Signatures) -> None:
        self._graphs = graphs
        self._signatures = signatures
        self._by_key = {(graph.file.id, graph.file.version): number for number, graph in enumerate(graphs)}
        self._by_id = {graph.file.id: number for number, graph in reversed(list(enumerate(graphs)))}
        self._done: dict[int, RepairedGraph] = {}
        self._takes: dict[int, Collection[str] | None] = {}
        """The inputs of each graph; None for any."""

    def make(self) -> list[RepairedGraph]:
        """Return the graphs, the nested ones first."""
        below = [self._named_by(graph) for graph in self._graphs]
        for number in range(len(self._graphs)):
            self._finish(number, below)
        return list(self._done.values())

    def _finish(self, start: int, below: Sequence[Mapping[str, int]]) -> None:
        """Connect a graph after all that it executes; without recursion, since files may nest deep."""
        path: list[int] = [start]
        while path:
            number = path[-1]
            if number in self._done:
                path.pop()
                continue
            for node_id, named in below[number].items():
                if named in path:
                    raise GraphInvalid({node_id: {GRAPH_ID: "The graph would contain itself"}})
                if named not in self._done:
                    path.append(named)
                    break
            else:
                self._done[number] = self._connected(self._graphs[number], below[number])
                schema = input_schema(self._graphs[number].definition, self._signatures)
                self._takes[number] = None if schema["additionalProperties"] else schema["properties"].keys()
                path.pop()

    def _named_by(self, graph: RepairedGraph) -> dict[str, int]:
        """Return which graphs of the file the nodes of one execute."""
        named = {}
        for node in graph.definition.nodes:
            if self._is_nested(node):
                wanted = as_text(node.input_default.get(GRAPH_ID)).lower()
                version = as_version(node.input_default.get(GRAPH_VERSION)) or 0
                number = self._by_key.get((wanted, version), self._by_id.get(wanted))
                if wanted and number is not None:
                    named[node.id] = number
        return named

    def _is_nested(self, node: Node) -> bool:
        block = self._signatures.get(node.block_id)
        return block is not None and block.kind is Kind.NESTED

    def _connected(self, graph: RepairedGraph, named: Mapping[str, int]) -> RepairedGraph:
        nodes = tuple(
            self._point(node, named[node.id], graph.report) if node.id in named else node
            for node in graph.definition.nodes
        )
        return replace(graph, definition=replace(graph.definition, nodes=nodes))

    def _point(self, node: Node, nested: int, report: GraphReport) -> Node:
        constants: dict[str, Any] = {
            **node.input_default,
            GRAPH_ID: str(self._done[nested].id),
            GRAPH_VERSION: FIRST_VERSION,
        }
        names = self._takes[nested]
        inputs = as_object(constants.get(INPUTS))
        unknown = set[str]() if names is None else _not_in(names, inputs)
        if not unknown:
            return replace(node, input_default=constants)
        for name in sorted(unknown):
            message = f"The nested graph has no input {quoted(name)}; it is kept in the node's metadata"
            report.note(Code.CONSTANT_SET_ASIDE, message, node_id=node.id)
        constants[INPUTS] = {name: value for name, value in inputs.items() if name not in unknown}
        aside = as_object(node.metadata.get(SET_ASIDE)) | {INPUTS: {name: inputs[name] for name in unknown}}
        return replace(node, input_default=constants, metadata={**node.metadata, SET_ASIDE: aside})


def _not_in(names: Collection[str], given: Iterable[str]) -> set[str]:
    return {name for name in given if name not in names and _base(name) not in names}


def _base(name: str) -> str:
    try:
        return base_name(name)
    except PinNameInvalid:
        return name
