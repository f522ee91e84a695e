"""Decides whether a graph may be saved, and reads the settings that a node keeps in its metadata.

What is wrong is said in words for the author. The blocks are known by their signatures alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol

from app.errors import InvalidRequest
from app.graph.definition import GraphDefinition, Node
from app.graph.link_checks import check_links
from app.graph.node_checks import NAME, check_constants, check_is_on, check_name, check_required
from app.graph.pins import PinNameInvalid, base_name
from app.graph.placeholders import stand_in
from app.graph.problems import NodeErrors, Problems
from app.graph.signature import BlockSignature, Kind, RetryPolicy
from app.graph.wording import quoted

MAX_NODES = 10_000
MAX_LINKS = 50_000
LONGEST_TIMEOUT_SECONDS = 7 * 24 * 3600.0
LONGEST_PAUSE_SECONDS = 24 * 3600.0


class Signatures(Protocol):
    """Where a block's signature is found by UUID or slug."""

    def get(self, ref: str, /) -> BlockSignature | None:
        """Return the signature, or None for an unknown block."""


class Delivery(StrEnum):
    """What becomes of a call whose outcome is unknown and that cannot be recognised by the other side."""

    AT_LEAST_ONCE = "at_least_once"
    """It is repeated."""
    AT_MOST_ONCE = "at_most_once"
    """It fails."""


class SettingInvalid(InvalidRequest, ValueError):
    """A setting of a node is not of the form it has to be."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


_RETRY_BOUNDS: Mapping[str, tuple[float, float]] = {
    "max_attempts": (1, 100),
    "initial_seconds": (0.001, LONGEST_PAUSE_SECONDS),
    "backoff": (1, 100),
    "maximum_seconds": (0.001, LONGEST_PAUSE_SECONDS),
}


def validate_graph(graph: GraphDefinition, signatures: Signatures, *, is_lenient: bool = False) -> NodeErrors:
    """Return what is wrong with a graph; nothing when it may be saved.

    Args:
        graph: The graph as its author gave it.
        signatures: Of every block there is.
        is_lenient: For imports: unknown and ill-typed constants, missing inputs, doubled input names, blocks that
            are turned off and graphs that nothing starts pass.
    """
    problems = Problems()
    if not _has_good_size(graph, problems):
        return problems.node_errors
    blocks = _find_blocks(graph, signatures, problems)
    check_links(graph, blocks, problems, is_lenient=is_lenient)
    linked = _linked_fields(graph)
    for node in graph.nodes:
        block = blocks[node.id]
        if block is not None and block.kind is not Kind.NOTE:
            fields = linked.get(node.id, set())
            check_name(node, block, fields, problems)
            check_constants(node, block, problems, is_lenient=is_lenient)
            _check_settings(node, problems)
            if not is_lenient:
                check_required(node, block, fields, problems)
                check_is_on(node, block, problems)
    if not is_lenient:
        _check_names_differ(graph, blocks, problems)
        _check_start(graph, blocks, linked.keys(), problems)
    return problems.node_errors


def parse_retry(metadata: Mapping[str, Any], default: RetryPolicy) -> RetryPolicy:
    """Return how a node's calls are retried: the block's policy with what `metadata.retry` changes in it.

    Where only one of the two pauses is given, the other one gives way to it.

    Raises:
        SettingInvalid: It is not of the form it has to be.
    """
    retry = metadata.get("retry")
    if retry is None:
        return default
    if not isinstance(retry, Mapping):
        raise SettingInvalid("retry", f"A retry setting is an object with any of {', '.join(_RETRY_BOUNDS)}")
    given = {name: value for name, value in retry.items() if value is not None}
    for name, value in given.items():
        _check_retry(name, value)
        given[name] = value if name == "max_attempts" else float(value)
    policy = replace(default, **given)
    if policy.maximum_seconds >= policy.initial_seconds:
        return policy
    if "initial_seconds" in given and "maximum_seconds" in given:
        raise SettingInvalid("retry", "'maximum_seconds' cannot be less than 'initial_seconds'")
    pause = policy.initial_seconds if "initial_seconds" in given else policy.maximum_seconds
    return replace(policy, initial_seconds=pause, maximum_seconds=pause)


def parse_timeout(metadata: Mapping[str, Any], default: float) -> float:
    """Return how long one attempt of a node may take, in seconds.

    Raises:
        SettingInvalid: `metadata.timeout_seconds` is no number above 0 and up to seven days.
    """
    timeout = metadata.get("timeout_seconds")
    if timeout is None:
        return default
    if not _is_number(timeout) or not 0 < timeout <= LONGEST_TIMEOUT_SECONDS:
        message = f"'timeout_seconds' is a number above 0 and up to {LONGEST_TIMEOUT_SECONDS:.0f}"
        raise SettingInvalid("timeout_seconds", message)
    return float(timeout)


def parse_delivery(metadata: Mapping[str, Any]) -> Delivery:
    """Return what becomes of a node's call whose outcome is unknown.

    Raises:
        SettingInvalid: `metadata.delivery` is none of the words it can be.
    """
    delivery = metadata.get("delivery")
    if delivery is None:
        return Delivery.AT_LEAST_ONCE
    for choice in Delivery:
        if delivery == choice:
            return choice
    raise SettingInvalid("delivery", f"'delivery' is one of {', '.join(Delivery)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_retry(name: str, value: Any) -> None:
    if name not in _RETRY_BOUNDS:
        raise SettingInvalid(
            "retry", f"A retry setting has no {quoted(name)}, only {', '.join(_RETRY_BOUNDS)}"
        )
    low, high = _RETRY_BOUNDS[name]
    if not _is_number(value) or not low <= value <= high:
        raise SettingInvalid("retry", f"'{name}' is a number from {low:g} to {high:g}")
    if name == "max_attempts" and not isinstance(value, int):
        raise SettingInvalid("retry", "'max_attempts' is a whole number")


def _check_settings(node: Node, problems: Problems) -> None:
    readings = (
        lambda: parse_retry(node.metadata, RetryPolicy()),
        lambda: parse_timeout(node.metadata, 1.0),
        lambda: parse_delivery(node.metadata),
    )
    for read in readings:
        try:
            read()
        except SettingInvalid as error:
            problems.add(node.id, f"metadata.{error.setting}", error.message)


def _has_good_size(graph: GraphDefinition, problems: Problems) -> bool:
    if not graph.nodes:
        problems.add_to_graph("nodes", "A graph needs at least one node")
    if len(graph.nodes) > MAX_NODES:
        problems.add_to_graph("nodes", f"A graph can have {MAX_NODES} nodes; this one has {len(graph.nodes)}")
    if len(graph.links) > MAX_LINKS:
        problems.add_to_graph("links", f"A graph can have {MAX_LINKS} links; this one has {len(graph.links)}")
    return not problems.node_errors


def _find_blocks(
    graph: GraphDefinition, signatures: Signatures, problems: Problems
) -> dict[str, BlockSignature | None]:
    blocks: dict[str, BlockSignature | None] = {}
    for position, node in enumerate(graph.nodes):
        if not node.id:
            problems.add_to_graph("nodes", f"Node number {position + 1} has no id")
        elif node.id in blocks:
            problems.add(node.id, "id", f"Two nodes have the id {quoted(node.id)}")
        block = stand_in(node, signatures.get(node.block_id))
        blocks.setdefault(node.id, block)
        if block is None:
            problems.add(node.id, "block_id", f"There is no block {quoted(node.block_id)}")
    return blocks


def _linked_fields(graph: GraphDefinition) -> dict[str, set[str]]:
    linked: dict[str, set[str]] = {}
    for link in graph.links:
        fields = linked.setdefault(link.sink_id, set())
        fields.add(link.sink_name)
        try:
            fields.add(base_name(link.sink_name))
        except PinNameInvalid:
            # Reported with the links.
            continue
    return linked


def _check_names_differ(
    graph: GraphDefinition, blocks: Mapping[str, BlockSignature | None], problems: Problems
) -> None:
    seen = set[str]()
    for node in graph.nodes:
        block = blocks[node.id]
        if block is None or block.kind is not Kind.INPUT or NAME not in block.inputs:
            continue
        name = node.input_default.get(NAME)
        if not isinstance(name, str):
            continue
        if name in seen:
            problems.add(node.id, NAME, f"Another input has the name {quoted(name)}")
        seen.add(name)


def _check_start(
    graph: GraphDefinition,
    blocks: Mapping[str, BlockSignature | None],
    linked: Collection[str],
    problems: Problems,
) -> None:
    for node in graph.nodes:
        block = blocks[node.id]
        kind = Kind.STANDARD if block is None else block.kind
        if kind is Kind.INPUT or (kind is not Kind.NOTE and node.id not in linked):
            return
    problems.add_to_graph("nodes", "There is no starting node: every node waits for another")
