"""Makes a graph of a file one that can be saved here: node by node, then the links between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.autogpt.block_names import BLOCK_NAMES
from app.autogpt.constants import SET_ASIDE, repair_constants, repair_metadata, rewrite_templates
from app.autogpt.former_names import block_id_now, pin_now
from app.autogpt.report import Code, GraphReport
from app.autogpt.rules import Rules
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.pins import base_name
from app.graph.placeholders import FORMER_PINS, MISSING_BLOCK
from app.graph.signature import BlockSignature, Kind
from app.graph.tools import is_tool_pin
from app.graph.wording import quoted


def repair_graph(
    graph: GraphDefinition, rules: Rules, report: GraphReport, *, is_recent: bool
) -> GraphDefinition:
    """Return a graph as it can be saved here.

    Args:
        graph: As it stands in a file.
        rules: What the installation has.
        report: Where it is told what was changed.
        is_recent: Whether the file is too young to have templates in single braces.
    """
    return _Repair(graph, rules, report, is_recent=is_recent).make()


class _Repair:
    """One graph being repaired."""

    def __init__(self, graph: GraphDefinition, rules: Rules, report: GraphReport, *, is_recent: bool) -> None:
        self._rules = rules
        self._report = report
        self._is_recent = is_recent
        fed: dict[str, set[str]] = {}
        left: dict[str, set[str]] = {}
        for link in graph.links:
            fed.setdefault(link.sink_id, set()).add(link.sink_name)
            left.setdefault(link.source_id, set()).add(link.source_name)
        self._nodes = {
            node.id: self._with_block_of_today(node, fed.get(node.id, set()) | left.get(node.id, set()))
            for node in graph.nodes
        }
        self._blocks = {node.id: rules.signatures.get(node.block_id) for node in self._nodes.values()}
        self._former: dict[str, dict[str, dict[str, None]]] = {}
        self._links = [kept for link in graph.links if (kept := self._repair_link(link)) is not None]
        self._fed: dict[str, set[str]] = {}
        for link in self._links:
            self._fed.setdefault(link.sink_id, set()).add(link.sink_name)

    def make(self) -> GraphDefinition:
        """Return the repaired graph."""
        nodes = tuple(map(self._repair_node, self._nodes.values()))
        self._note_if_nothing_starts()
        return GraphDefinition(nodes, tuple(self._links))

    def _with_block_of_today(self, node: Node, linked: set[str]) -> Node:
        block_id = block_id_now(node.block_id, {*linked, *node.input_default})
        if block_id == node.block_id:
            return node
        message = f"The block {quoted(node.block_id)} has the id {quoted(block_id)} now"
        self._report.note(Code.BLOCK_ID_REPLACED, message, node_id=node.id)
        return replace(node, block_id=block_id)

    # -- links

    def _repair_link(self, link: Link) -> Link | None:
        source, sink = self._blocks[link.source_id], self._blocks[link.sink_id]
        if _is_note(source) or _is_note(sink):
            self._report.note(Code.LINK_REMOVED, "A link from or to a note is left out", node_id=link.sink_id)
            return None
        if sink is not None:
            name = pin_now(self._nodes[link.sink_id].block_id, link.sink_name, sink.inputs)
            if name != link.sink_name:
                message = f"The pin {quoted(link.sink_name)} is {quoted(name)} now"
                self._report.note(Code.PIN_RENAMED, message, node_id=link.sink_id)
                link = replace(link, sink_name=name)
            if not sink.takes_any_input:
                self._check_pin(link.sink_id, link.sink_name, "inputs", sink.inputs)
        if source is not None and not _is_open(source, link.source_name):
            self._check_pin(link.source_id, link.source_name, "outputs", dict.fromkeys(source.outputs))
        return link

    def _check_pin(self, node_id: str, name: str, direction: str, declared: Mapping[str, Any]) -> None:
        former = self._former.setdefault(node_id, {"inputs": {}, "outputs": {}})[direction]
        if name in declared or base_name(name) in declared or name in former:
            return
        former[name] = None
        message = f"The block has no {direction[:-1]} {quoted(name)}; the link to or from it stays"
        self._report.note(Code.PIN_MISSING, message, node_id=node_id)

    # -- nodes

    def _repair_node(self, node: Node) -> Node:
        block, fed = self._blocks[node.id], self._fed.get(node.id, set())
        metadata = repair_metadata(node, self._report)
        constants, aside = repair_constants(node, block, fed, self._rules, self._report)
        node = replace(node, input_default=constants)
        if aside:
            metadata[SET_ASIDE] = aside
        former = {side: list(names) for side, names in self._former.get(node.id, {}).items() if names}
        if former:
            metadata[FORMER_PINS] = former
        if block is None:
            metadata[MISSING_BLOCK] = self._note_missing(node)
        elif block.off_because:
            self._report.note(Code.BLOCK_DISABLED, block.off_because, node_id=node.id)
        if block is not None and not self._is_recent:
            node = replace(node, input_default=rewrite_templates(node, block, fed, self._report))
        return replace(node, metadata=metadata)

    def _note_missing(self, node: Node) -> str:
        name = BLOCK_NAMES.get(node.block_id.lower())
        called = name or node.block_id
        message = f"There is no block {quoted(called)} here; the node fails when it fires"
        self._report.note(Code.BLOCK_MISSING, message, node_id=node.id)
        self._report.note_missing(node.id, node.block_id, name)
        return called

    def _note_if_nothing_starts(self) -> None:
        for node_id, block in self._blocks.items():
            kind = Kind.STANDARD if block is None else block.kind
            if kind is Kind.INPUT or (kind is not Kind.NOTE and node_id not in self._fed):
                return
        self._report.note(Code.NO_START, "Every node waits for another: nothing would happen")


def _is_open(source: BlockSignature, name: str) -> bool:
    return source.gives_any_output or (source.calls_tools and is_tool_pin(name))


def _is_note(block: BlockSignature | None) -> bool:
    return block is not None and block.kind is Kind.NOTE
