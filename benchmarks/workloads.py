"""The workloads: what is run, as a graph for this engine and by name for the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


def _node(name: str, block: str, **constants: Any) -> dict[str, Any]:
    return {"id": name, "block_id": block, "input_default": constants, "metadata": {}}


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


WORKLOADS = (
    Workload("chain of 20, pure", 20, pure_chain, "PureChain", goal=0.25),
    Workload("chain of 20, remote", 20, remote_chain, "RemoteChain", goal=1.10),
    Workload("fan-out of 100, pure", 100, pure_fan, "PureFan"),
    Workload("fan-out of 100, remote", 100, remote_fan, "RemoteFan", goal=1.10),
    Workload("200 x chain of 10, pure", 10, pure_chain, "PureChain", at_once=200),
    Workload("200 x chain of 10, remote", 10, remote_chain, "RemoteChain", at_once=200, goal=1.10),
    Workload("1,000 nodes in layers, pure", 1_000, pure_layers, "PureLayers", goal=0.10),
)
