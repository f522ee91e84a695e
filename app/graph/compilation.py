"""Compiles a saved version into the plan that workflows walk and the configuration that activities read beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.graph.credential_needs import list_needs
from app.graph.definition import GraphDefinition, Node
from app.graph.placeholders import stand_in
from app.graph.plan import PLAN_FORMAT
from app.graph.signature import BlockSignature, Kind, Lane
from app.graph.tools import LOOP_PINS, source_name_of
from app.graph.validation import Delivery, Signatures, parse_delivery, parse_retry, parse_timeout

ERROR_PIN = "error"


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """What compiling gives: both parts as JSON, and the hash that names them."""

    hash: str
    plan: dict[str, Any]
    configuration: list[dict[str, Any]]


def compile_graph(graph: GraphDefinition, signatures: Signatures) -> CompiledGraph:
    """Compile a valid graph.

    Args:
        graph: A definition that `validate_graph` has accepted, static flags recomputed.
        signatures: Of at least the blocks that the graph uses.
    """
    numbers = {node.id: number for number, node in enumerate(graph.nodes)}
    pins: list[dict[str, int]] = [{} for _ in graph.nodes]
    sources: list[dict[str, int]] = [{} for _ in graph.nodes]
    static_pins = [0] * len(graph.nodes)
    links: list[int] = []
    for link in graph.links:
        source, sink = numbers[link.source_id], numbers[link.sink_id]
        calls_tools = _require(signatures, graph.nodes[source]).calls_tools
        name = source_name_of(link, calls_tools=calls_tools)
        source_number = sources[source].setdefault(name, len(sources[source]))
        pin = pins[sink].setdefault(link.sink_name, len(pins[sink]))
        static_pins[sink] |= link.is_static << pin
        links += (source, source_number, sink, pin, int(link.is_static))

    tables = _Tables()
    rows = [
        tables.row(node, _require(signatures, node), pins[number], static_pins[number], sources[number])
        for number, node in enumerate(graph.nodes)
    ]
    plan = {"v": PLAN_FORMAT, "blocks": tables.blocks, "calls": tables.calls, "nodes": rows, "links": links}
    credentials = _credentials(graph, signatures)
    configuration = [
        {
            "id": node.id,
            "block_id": node.block_id,
            "input_default": dict(node.input_default),
            "metadata": dict(node.metadata),
            "pins": list(pins[number]),
            "sources": list(sources[number]),
            # Left out where there are none, which is nearly everywhere.
            **credentials.get(node.id, {}),
        }
        for number, node in enumerate(graph.nodes)
    ]
    return CompiledGraph(_hash_of(plan, configuration), plan, configuration)


def _credentials(graph: GraphDefinition, signatures: Signatures) -> dict[str, dict[str, Any]]:
    """Return by node `{"credentials": {field: [key, whether the node is skipped without]}}`."""
    found: dict[str, dict[str, Any]] = {}
    for need in list_needs(graph, signatures):
        of_node = found.setdefault(need.node_id, {"credentials": {}})
        of_node["credentials"][need.field] = [need.key, need.is_skipped_without]
    return found


class _Tables:
    """The rows that nodes share, numbered as they are met."""

    def __init__(self) -> None:
        self.blocks: list[list[Any]] = []
        self.calls: list[list[Any]] = []
        self._numbers: dict[str, int] = {}

    def row(
        self,
        node: Node,
        signature: BlockSignature,
        pins: Mapping[str, int],
        static_pins: int,
        sources: Mapping[str, int],
    ) -> list[Any]:
        """Return a node's row of the plan."""
        is_remote = signature.lane is Lane.REMOTE
        row: list[Any] = [
            self._number(self.blocks, [signature.name, signature.lane.value, signature.pool]),
            self._number(self.calls, _call(node, signature)) if is_remote else -1,
            len(pins),
            sum(1 << pin for name, pin in pins.items() if name in signature.required),
            static_pins,
            len(sources),
            sources.get(ERROR_PIN, -1),
            int(signature.kind is not Kind.NOTE and (not pins or signature.kind is Kind.INPUT)),
        ]
        if signature.lane is not Lane.LOCAL:
            row += [node.id, node.title]
        if signature.calls_tools and pins.keys() >= LOOP_PINS:
            row.append(sum(1 << pins[name] for name in LOOP_PINS))
        return row

    def _number(self, table: list[list[Any]], row: list[Any]) -> int:
        key = json.dumps([id(table), row])
        if key not in self._numbers:
            self._numbers[key] = len(table)
            table.append(row)
        return self._numbers[key]


def _call(node: Node, signature: BlockSignature) -> list[Any]:
    retry = parse_retry(node.metadata, signature.retry)
    return [
        retry.max_attempts,
        retry.initial_seconds,
        retry.backoff,
        retry.maximum_seconds,
        parse_timeout(node.metadata, signature.timeout_seconds),
        parse_delivery(node.metadata) is Delivery.AT_MOST_ONCE,
    ]


def _require(signatures: Signatures, node: Node) -> BlockSignature:
    signature = stand_in(node, signatures.get(node.block_id))
    if signature is None:
        raise LookupError(f"No block {node.block_id}: compile only what was validated")
    return signature


def _hash_of(plan: Mapping[str, Any], configuration: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps([plan, configuration], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
