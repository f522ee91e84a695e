"""What differs between two versions of a graph, or two sets of run inputs, and what follows from a node.

Nodes of two versions are the same when they have the same id, wherever they stand.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.graph.pins import base_name
from app.graph.plan import Plan, plan_from_json
from app.graph.signature import PAYLOAD, Kind
from app.graph.tools import AGENT_MODE, is_tool_pin
from app.graph.validation import Signatures


@dataclass(frozen=True, slots=True)
class VersionNode:
    """A node of a compiled version with its names."""

    id: str
    block_id: str
    kind: Kind
    takes_any_input: bool
    input_default: Mapping[str, Any]
    pins: tuple[str, ...]
    """Linked input pins by number."""
    sources: tuple[str, ...]
    """Source names of its links by number."""
    routes: Mapping[str, tuple[int, ...]]
    """By emitted pin: the sources that it may go out on."""

    @property
    def hears_its_tools(self) -> bool:
        """Answer whether it may call tools and goes on with what they give."""
        is_in_agent_mode = self.input_default.get(AGENT_MODE) not in (None, 0, "0") or AGENT_MODE in self.pins
        return is_in_agent_mode and any(map(is_tool_pin, self.sources))


@dataclass(frozen=True, slots=True)
class Version:
    """A compiled version with its names."""

    plan: Plan
    nodes: tuple[VersionNode, ...]
    numbers: Mapping[str, int]
    """Of the nodes by id."""

    @classmethod
    def from_json(
        cls, plan: Mapping[str, Any], configuration: Sequence[Mapping[str, Any]], signatures: Signatures
    ) -> Version:
        """Read a version. A block that is not known any more passes for an ordinary one.

        Args:
            plan: The compiled plan.
            configuration: What is kept beside it.
            signatures: The blocks there are.

        Raises:
            ValueError: The plan is of a format that this code does not read.
        """
        nodes = tuple(_read_node(node, signatures) for node in configuration)
        return cls(plan_from_json(plan), nodes, {node.id: number for number, node in enumerate(nodes)})


def _read_node(configuration: Mapping[str, Any], signatures: Signatures) -> VersionNode:
    signature = signatures.get(configuration["block_id"])
    routes: dict[str, list[int]] = {}
    for number, name in enumerate(configuration["sources"]):
        for pin in {name} if is_tool_pin(name) else {name, base_name(name)}:
            routes.setdefault(pin, []).append(number)
    return VersionNode(
        id=configuration["id"],
        block_id=configuration["block_id"],
        kind=signature.kind if signature else Kind.STANDARD,
        takes_any_input=signature.takes_any_input if signature else False,
        input_default=configuration["input_default"],
        pins=tuple(configuration["pins"]),
        sources=tuple(configuration["sources"]),
        routes={pin: tuple(of_pin) for pin, of_pin in routes.items()},
    )


@dataclass(frozen=True, slots=True)
class Walked:
    """What an execution walks: a version, with run inputs."""

    version: Version
    inputs: Mapping[str, Any]


def find_cone(original: Walked, rerun: Walked, chosen: Iterable[int]) -> set[int]:
    """Return the nodes of a rerun that are executed again whatever the original has recorded of them.

    Args:
        original: What was walked.
        rerun: What is walked now.
        chosen: Nodes of the rerun's version that are to be executed again.
    """
    origins = {*chosen, *find_newly_fed(rerun.version, original.inputs, rerun.inputs)}
    if rerun.version is not original.version:
        origins |= find_changed(original.version, rerun.version)
    return _with_callers(rerun.version, find_downstream(rerun.version.plan, origins))


def _with_callers(version: Version, cone: set[int]) -> set[int]:
    """Return a cone with the nodes that call some of it as tools and go on with what it gives, and what follows."""
    while True:
        callers = {
            number
            for number, node in enumerate(version.nodes)
            if number not in cone and node.hears_its_tools and not cone.isdisjoint(_tools_of(version, number))
        }
        if not callers:
            return cone
        cone = cone | find_downstream(version.plan, callers)


def _tools_of(version: Version, number: int) -> set[int]:
    targets = zip(version.nodes[number].sources, version.plan.nodes[number].targets, strict=True)
    return {target.node for name, of_source in targets if is_tool_pin(name) for target in of_source}


def find_changed(old: Version, new: Version) -> set[int]:
    """Return the nodes of the new version that do something else, or are fed by other links, than in the old one."""
    links_before, links_now = _incoming(old), _incoming(new)
    changed = set()
    for number, node in enumerate(new.nodes):
        before = old.numbers.get(node.id)
        if (
            before is None
            or old.plan.nodes[before].block != new.plan.nodes[number].block
            or text_of(old.nodes[before].input_default) != text_of(node.input_default)
            or links_before.get(node.id) != links_now.get(node.id)
        ):
            changed.add(number)
    return changed


def _incoming(version: Version) -> dict[str, list[tuple[str, str, str, bool]]]:
    """Return the links into each node by its id, as (source id, source name, sink name, is_static)."""
    incoming: dict[str, list[tuple[str, str, str, bool]]] = {}
    for source, planned in zip(version.nodes, version.plan.nodes, strict=True):
        for name, targets in zip(source.sources, planned.targets, strict=True):
            for target in targets:
                sink = version.nodes[target.node]
                link = (source.id, name, sink.pins[target.pin], target.is_static)
                incoming.setdefault(sink.id, []).append(link)
    return {node_id: sorted(links) for node_id, links in incoming.items()}


def find_newly_fed(version: Version, before: Mapping[str, Any], now: Mapping[str, Any]) -> set[int]:
    """Return the input nodes that other run inputs reach than before."""
    names = {
        name
        for name in {*before, *now}
        if (name in before) is not (name in now) or text_of(before[name]) != text_of(now[name])
    }
    return {
        number
        for number, node in enumerate(version.nodes)
        if (node.kind is Kind.TRIGGER and PAYLOAD in names)
        or (
            node.kind is Kind.INPUT
            and (bool(names) if node.takes_any_input else node.input_default.get("name") in names)
        )
    }


def find_downstream(plan: Plan, origins: Iterable[int]) -> set[int]:
    """Return some nodes and everything that values from them can reach."""
    reached = set(origins)
    stack = list(reached)
    while stack:
        for number in targets_of(plan, stack.pop()):
            if number not in reached:
                reached.add(number)
                stack.append(number)
    return reached


def targets_of(plan: Plan, node: int) -> Collection[int]:
    """Return the nodes that links from a node lead to."""
    return {target.node for targets in plan.nodes[node].targets for target in targets}


def text_of(value: Any) -> str:
    """Return JSON text, which tells 1 from true and from 1.0. The order of keys does not matter."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
