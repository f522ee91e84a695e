"""What calls of a graph's nodes would cost, as far as constants, run inputs and credentials say so before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.blocks.base import Block
from app.blocks.registry import BlockRegistry
from app.graph.costs import Use
from app.graph.credential_needs import NodeNeed
from app.graph.definition import GraphDefinition, Node
from app.graph.estimation import Price
from app.graph.interface import list_run_inputs
from app.graph.pins import fold
from app.graph.signature import Kind

RESULT = "result"


def find_prices(
    graph: GraphDefinition,
    registry: BlockRegistry,
    *,
    inputs: Mapping[str, Any],
    needs: Sequence[NodeNeed],
    choices: Mapping[str, str],
) -> dict[str, Price]:
    """Return what a call of each node costs; those that are free are left out.

    Args:
        graph: A saved graph.
        registry: The blocks there are.
        inputs: Run inputs, as far as they are known.
        needs: The credentials that the nodes take.
        choices: Ids of credentials, by key.
    """
    known = _known_by_link(graph, registry, inputs)
    chosen: dict[str, dict[str, Any]] = {}
    for need in needs:
        credentials_id = choices.get(need.key) or need.given
        if credentials_id:
            chosen.setdefault(need.node_id, {})[need.field] = {"id": credentials_id}
    skipped = {need.node_id for need in needs if need.is_skipped_without and need.node_id not in chosen}
    prices: dict[str, Price] = {}
    for node in graph.nodes:
        block = registry.get(node.block_id)
        if block is not None and block.costs and node.id not in skipped:
            price = _price_of(block, _given(node, block, known.get(node.id, {}), chosen.get(node.id, {})))
            if price.is_paid:
                prices[node.id] = price
    return prices


def _price_of(block: Block, given: Mapping[str, Any]) -> Price:
    usual = block.cost_of(given)
    cost = block.find_cost(given)
    if not usual or cost is None:
        return Price()
    return Price(
        least=block.charge_of(given, Use()), usual=usual, most=cost.credits if cost.type == "run" else None
    )


def _given(
    node: Node, block: Block, linked: Mapping[str, Any], chosen: Mapping[str, Any]
) -> Mapping[str, Any]:
    defaults = {name: pin.default for name, pin in block.signature.inputs.items() if not pin.is_required}
    nothing = dict.fromkeys(block.credentials)
    return {**defaults, **fold({**node.input_default, **linked}), **nothing, **chosen}


def _known_by_link(
    graph: GraphDefinition, registry: BlockRegistry, inputs: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return by node what links from input nodes will bring it, by pin."""
    values = {
        port.node_id: port.default if inputs.get(port.name) is None else inputs[port.name]
        for port in list_run_inputs(graph, registry.signatures)
    }
    passing = {
        node.id
        for node in graph.nodes
        if (block := registry.get(node.block_id)) is not None
        and block.kind is Kind.INPUT
        and block.takes_any_input
    }
    known: dict[str, dict[str, Any]] = {}
    for link in graph.links:
        value = values.get(link.source_id) if link.source_name == RESULT else None
        if link.source_id in passing:
            value = inputs.get(link.source_name)
        if value is not None:
            known.setdefault(link.sink_id, {})[link.sink_name] = value
    return known
