"""Walks small graphs with the scheduler alone: nodes are plain functions, and the order in which they end is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.graph.changes import Version
from app.graph.compilation import CompiledGraph, compile_graph
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.emissions import Emission
from app.graph.pins import fold, select
from app.graph.plan import Plan, plan_from_json
from app.graph.scheduler import Firing, Scheduler
from app.graph.signature import BlockSignature, InputPin, Kind, Lane

Emitted = Iterable[tuple[str, Any]]
Behaviour = Callable[[dict[str, Any]], Emitted]


class Fails(Exception):
    """The node fails, after having emitted something."""

    def __init__(self, *emitted: tuple[str, Any]) -> None:
        super().__init__("it failed")
        self.emitted = emitted


def make_block(
    slug: str,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    outputs: Sequence[str] = ("out",),
    is_static: bool = False,
    kind: Kind = Kind.STANDARD,
    lane: Lane = Lane.REMOTE,
) -> BlockSignature:
    """Return the signature of a block that takes and gives anything."""
    pins = {name: InputPin(Any, is_required=True) for name in required}
    pins |= {name: InputPin(Any, is_required=False) for name in optional}
    return BlockSignature(
        id=slug,
        slug=slug,
        name=slug,
        kind=kind,
        lane=lane,
        pool="",
        inputs=pins,
        outputs=frozenset({*outputs, "error"}),
        is_static=is_static,
    )


@dataclass
class Sketch:
    """A graph drawn in a test: what each node does, and the links as `a.out -> b.in` (`=>` for a static one)."""

    behaviours: Mapping[str, Behaviour]
    links: Sequence[str]
    required: Mapping[str, Sequence[str]] = field(default_factory=dict)
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    """The nodes that are input nodes: they fire at the start even when linked."""
    local: frozenset[str] = frozenset()
    """The nodes whose blocks are pure; the others are remote."""

    def compile(self) -> tuple[GraphDefinition, Plan]:
        """Return the graph and its plan."""
        graph, compiled, _ = self._compile()
        return graph, plan_from_json(json.loads(json.dumps(compiled.plan)))

    def version(self) -> Version:
        """Return the compiled version with its names."""
        _, compiled, blocks = self._compile()
        return Version.from_json(compiled.plan, compiled.configuration, blocks)

    def _compile(self) -> tuple[GraphDefinition, CompiledGraph, dict[str, BlockSignature]]:
        links = [_link(text) for text in self.links]
        graph = GraphDefinition(
            tuple(Node(name, name, self.constants.get(name, {})) for name in self.behaviours), tuple(links)
        )
        blocks = {
            name: make_block(
                name,
                required=self.required.get(name, ()),
                kind=Kind.INPUT if name in self.inputs else Kind.STANDARD,
                lane=Lane.LOCAL if name in self.local else Lane.REMOTE,
            )
            for name in self.behaviours
        }
        return graph, compile_graph(graph, blocks), blocks


def _link(text: str) -> Link:
    arrow = "=>" if "=>" in text else "->"
    source, sink = (end.strip() for end in text.split(arrow))
    source_id, source_name = source.split(".", 1)
    sink_id, sink_name = sink.split(".", 1)
    return Link(source_id, sink_id, source_name, sink_name, is_static=arrow == "=>")


@dataclass
class Walk:
    """What happened on one walk."""

    trace: list[tuple[str, int, dict[str, Any]]]
    """(node, n, data) of each node execution in the order they started."""
    scheduler: Scheduler
    graph: GraphDefinition

    def of(self, node: str) -> list[dict[str, Any]]:
        """Return the data of one node's executions, in order of n."""
        return [data for name, _, data in sorted(self.trace, key=lambda entry: entry[:2]) if name == node]

    @property
    def order(self) -> list[str]:
        """Return the nodes in the order they started."""
        return [name for name, _, _ in self.trace]

    @property
    def starved(self) -> dict[str, int]:
        """Return how many firings were left waiting, by node."""
        return {self.graph.nodes[node].id: count for node, count in self.scheduler.list_starved()}

    @property
    def unreached(self) -> list[str]:
        """Return the nodes that never fired."""
        return [self.graph.nodes[node].id for node in self.scheduler.list_unreached()]


def walk(
    sketch: Sketch,
    *,
    random: Random | None = None,
    limit: int = 1_000,
    between: Callable[[Scheduler, Plan], Scheduler] = lambda scheduler, _: scheduler,
    fold: Callable[[list[Emission]], list[Emission]] = lambda emissions: emissions,
) -> Walk:
    """Walk a graph to its end.

    Args:
        sketch: The graph.
        random: Chooses which running node execution ends next; the longest running one when None.
        limit: Node executions before the walk is given up.
        between: Called between any two steps; may answer with another scheduler to go on with.
        fold: Makes of what a node execution emits what the scheduler is given.
    """
    graph, plan = sketch.compile()
    scheduler = Scheduler(plan, max_node_executions=limit)
    scheduler.start()
    running: list[Firing] = []
    result = Walk([], scheduler, graph)
    while True:
        scheduler = between(scheduler, plan)
        while firing := scheduler.take_remote() or scheduler.take_in_wave():
            running.append(firing)
            result.trace.append((graph.nodes[firing.node].id, firing.n, _data_of(graph, firing)))
            if random is not None and random.random() < 0.5:
                break
        if not running and (scheduler.has_folded or scheduler.has_remote or scheduler.has_wave):
            continue
        if not running:
            break
        firing = running.pop(random.randrange(len(running)) if random else 0)
        end(sketch, graph, scheduler, firing, fold=fold)
    result.scheduler = scheduler
    return result


def _pins(graph: GraphDefinition, node: int) -> list[str]:
    return list(dict.fromkeys(link.sink_name for link in graph.links if link.sink_id == graph.nodes[node].id))


def _data_of(graph: GraphDefinition, firing: Firing) -> dict[str, Any]:
    pins = _pins(graph, firing.node)
    linked = {pins[pin]: envelope[0] for pin, envelope in sorted(firing.inputs.items())}
    return fold({**graph.nodes[firing.node].input_default, **linked})


def end(
    sketch: Sketch,
    graph: GraphDefinition,
    scheduler: Scheduler,
    firing: Firing,
    *,
    fold: Callable[[list[Emission]], list[Emission]] = lambda emissions: emissions,
) -> None:
    """End a node execution as its behaviour says."""
    name = graph.nodes[firing.node].id
    try:
        emitted = list(sketch.behaviours[name](_data_of(graph, firing)))
    except Fails as failure:
        emissions = fold(_emissions(graph, name, failure.emitted))
        scheduler.fail(firing.node, firing.n, emissions, code="BLOCK_FAILED", message=str(failure))
    else:
        scheduler.settle(firing.node, firing.n, fold(_emissions(graph, name, emitted)))


def _emissions(graph: GraphDefinition, node: str, emitted: Emitted) -> list[Emission]:
    sources = list(dict.fromkeys(link.source_name for link in graph.links if link.source_id == node))
    emissions: list[Emission] = []
    for pin, value in emitted:
        emission = []
        for number, source in enumerate(sources):
            is_sent, picked = select(value, source, pin)
            if is_sent:
                emission.append([number, [picked]])
        if emission:
            emissions.append(emission)
    return emissions
