"""The workloads: what is run, as a graph for this engine and by name for the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.priced import PricedClockBlock

Graph = dict[str, Any]

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to be measured."""

    name: str
    size: int
    """Nodes that do work."""
    make_graph: Callable[[int], Graph]
    baseline: str
    """The hand-written workflow that does the same."""
    at_once: int = 1
    """Executions running concurrently."""
    goal: float | None = None
    """Ratio to the baseline that is to be reached."""


def _node(node_id: str, block: str, /, **constants: Any) -> dict[str, Any]:
    return {"id": node_id, "block_id": block, "input_default": constants, "metadata": {}}


def _link(source: str, sink: str) -> dict[str, str]:
    source_id, source_name = source.split(".")
    sink_id, sink_name = sink.split(".")
    return {
        "source_id": source_id,
        "source_name": source_name,
        "sink_id": sink_id,
        "sink_name": sink_name,
    }


def _graph(nodes: list[dict[str, Any]], links: list[dict[str, str]]) -> Graph:
    return {"name": "benchmark", "nodes": nodes, "links": links}


def pure_chain(size: int) -> Graph:
    """Return a chain of calculators."""
    nodes = [_node("n0", "calculator_block", operation="Add", a=0, b=1)]
    nodes += [_node(f"n{k}", "calculator_block", operation="Add", b=1) for k in range(1, size)]
    return _graph(nodes, [_link(f"n{k}.result", f"n{k + 1}.a") for k in range(size - 1)])


def remote_chain(size: int) -> Graph:
    """Return a chain of clocks, each set off by the one before."""
    nodes = [_node("n0", "get_current_time_block", trigger="start")]
    nodes += [_node(f"n{k}", "get_current_time_block") for k in range(1, size)]
    return _graph(nodes, [_link(f"n{k}.time", f"n{k + 1}.trigger") for k in range(size - 1)])


def pure_fan(size: int) -> Graph:
    """Return calculators side by side and a join."""
    nodes = [_node(f"n{k}", "calculator_block", operation="Add", a=0, b=1) for k in range(size)]
    nodes.append(_node("join", "count_items_block"))
    return _graph(nodes, [_link(f"n{k}.result", f"join.collection_$_{k}") for k in range(size)])


def remote_fan(size: int) -> Graph:
    """Return clocks side by side and a join."""
    nodes = [_node(f"n{k}", "get_current_time_block", trigger="start") for k in range(size)]
    nodes.append(_node("join", "combine_texts_block"))
    return _graph(nodes, [_link(f"n{k}.time", f"join.input_$_{k}") for k in range(size)])


def priced_chain(size: int) -> Graph:
    """Return a chain of clocks that have a price."""
    return _priced(remote_chain(size))


def priced_fan(size: int) -> Graph:
    """Return clocks side by side that have a price, and a join."""
    return _priced(remote_fan(size))


def _priced(graph: Graph) -> Graph:
    for node in graph["nodes"]:
        if node["block_id"] == "get_current_time_block":
            node["block_id"] = PricedClockBlock.id
    return graph


def model_chain(size: int) -> Graph:
    """Return a chain of questions to a model, each the answer to the one before."""
    nodes = [_node("n0", "ai_text_generator_block", prompt="start")]
    nodes += [_node(f"n{k}", "ai_text_generator_block") for k in range(1, size)]
    return _graph(nodes, [_link(f"n{k}.response", f"n{k + 1}.prompt") for k in range(size - 1)])


def pure_layers(size: int) -> Graph:
    """Return layers of calculators, each fed by two of the layer before."""
    nodes, links = [], []
    for number in range(size):
        layer, place = divmod(number, WIDTH)
        constants = {"a": 0, "b": 1} if layer == 0 else {}
        nodes.append(_node(f"n{number}", "calculator_block", operation="Add", **constants))
        if layer:
            above = WIDTH * (layer - 1)
            links.append(_link(f"n{above + place}.result", f"n{number}.a"))
            links.append(_link(f"n{above + (place + 1) % WIDTH}.result", f"n{number}.b"))
    return _graph(nodes, links)


def mixed_layers(size: int) -> Graph:
    """Return layers of calculators in which every tenth node is a clock, set off by the layer before."""
    nodes, links = [], []
    for number in range(size):
        layer, place = divmod(number, WIDTH)
        is_clock = number % 10 == 0
        constants: dict[str, Any]
        if is_clock:
            constants = {"trigger": "start"} if layer == 0 else {}
            nodes.append(_node(f"n{number}", "get_current_time_block", **constants))
        else:
            constants = {"a": 0, "b": 1} if layer == 0 else {"b": 1}
            nodes.append(_node(f"n{number}", "calculator_block", operation="Add", **constants))
        if layer:
            above = number - WIDTH
            pin = "time" if above % 10 == 0 else "result"
            links.append(_link(f"n{above}.{pin}", f"n{number}.{'trigger' if is_clock else 'a'}"))
            if place % 10 == 1:
                links.append(_link(f"n{above - 1}.time", f"n{number}.b"))
    return _graph(nodes, links)


def pure_loop() -> Graph:
    """Return a graph that adds one to each of the items it is given."""
    nodes = [
        _node("items", "agent_input_block", name="items"),
        _node("each", "step_through_items_block"),
        _node("add", "calculator_block", operation="Add", b=1),
        _node("out", "agent_output_block", name="sums"),
    ]
    links = [
        _link("items.result", "each.items"),
        _link("each.item", "add.a"),
        _link("add.result", "out.value"),
    ]
    return _graph(nodes, links)


def remote_items() -> Graph:
    """Return a graph that asks a clock for each of the items it is given."""
    nodes = [
        _node("items", "agent_input_block", name="items"),
        _node("each", "step_through_items_block"),
        _node("clock", "get_current_time_block"),
    ]
    return _graph(nodes, [_link("items.result", "each.items"), _link("each.item", "clock.trigger")])


def value_chain(size: int) -> Graph:
    """Return a chain that passes its input on."""
    nodes = [_node("value", "agent_input_block", name="value")]
    nodes += [_node(f"n{k}", "store_value_block") for k in range(size)]
    links = [_link("value.result", "n0.input")]
    return _graph(nodes, links + [_link(f"n{k}.output", f"n{k + 1}.input") for k in range(size - 1)])


def value_fan(size: int) -> Graph:
    """Return remote nodes that are all given the input."""
    nodes = [_node("value", "agent_input_block", name="value")]
    nodes += [_node(f"n{k}", "get_current_time_block") for k in range(size)]
    return _graph(nodes, [_link("value.result", f"n{k}.trigger") for k in range(size)])


WORKLOADS = (
    Workload("chain of 20, pure", 20, pure_chain, "PureChain", goal=0.25),
    Workload("chain of 20, remote", 20, remote_chain, "RemoteChain", goal=1.10),
    Workload("fan-out of 100, pure", 100, pure_fan, "PureFan"),
    Workload("fan-out of 100, remote", 100, remote_fan, "RemoteFan", goal=1.10),
    Workload("200 x chain of 10, pure", 10, pure_chain, "PureChain", at_once=200),
    Workload("200 x chain of 10, remote", 10, remote_chain, "RemoteChain", at_once=200, goal=1.10),
    Workload("1,000 nodes in layers, pure", 1_000, pure_layers, "PureLayers", goal=0.10),
)
