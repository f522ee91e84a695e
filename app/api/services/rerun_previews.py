"""Foresees what a rerun will take over and what it will execute, by the same rules as the worker that then does it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.activities.feeding import Offered, feed
from app.blocks.base import Block
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import InvalidRequest
from app.graph.changes import Version, VersionNode, Walked, find_cone
from app.graph.envelope import Envelope, is_reference
from app.graph.reuse import Key, Reuse, wrap_unstored
from app.graph.signature import Effect
from app.graph.status import Status
from app.models import originals
from app.models.reused import CalledRow, RecordedRow
from app.models.tables.executions import Execution
from app.starting.values import Values


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run again, and how."""

    original: Execution
    inputs_before: Mapping[str, Any]
    inputs: Mapping[str, Any]
    plan_hash: str
    from_nodes: Sequence[str] | None
    max_node_executions: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What will be done. Counts are of node executions by node id."""

    reused: Mapping[str, int]
    to_run: Mapping[str, int]
    unkeyed: Mapping[str, int]
    estimated_credits: int
    chosen: list[int] | None
    """The numbers of the named nodes in the version that will run."""
    missing_credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What is wrong with the credentials that it would use, by node id and field."""


class Previews:
    """Foresees reruns."""

    def __init__(self, sessions: Sessions, values: Values, registry: BlockRegistry) -> None:
        """Take the record, its values, and the blocks there are."""
        self._sessions = sessions
        self._values = values
        self._registry = registry

    async def make(self, wish: Wish) -> Preview:
        """Return what a rerun will do.

        Raises:
            InvalidRequest: A node is named that the version does not have.
            OriginalDeleted: The original has been deleted meanwhile.
        """
        version = await self._load(wish.plan_hash)
        is_same = wish.plan_hash == wish.original.plan_hash
        before = version if is_same else await self._load(wish.original.plan_hash)
        chosen = None if wish.from_nodes is None else _numbers_of(wish.from_nodes, version)
        reuse = Reuse(
            version,
            cone=find_cone(Walked(before, wish.inputs_before), Walked(version, wish.inputs), chosen or ()),
            is_strict=chosen is None,
            max_node_executions=wish.max_node_executions,
            wrap=wrap_unstored,
        )
        tally = _Tally(version, self._registry)
        source = _Records(self._sessions, self._values, wish.original)
        async for offered in feed(reuse, version, source):
            tally.add(offered)
        return tally.preview(reuse, chosen)

    async def _load(self, plan_hash: str) -> Version:
        async with self._sessions() as session:
            plan, configuration = await originals.require_compiled(session, plan_hash)
        return Version.from_json(plan, configuration, self._registry.signatures)


@dataclass(frozen=True, slots=True)
class _Left:
    """A recorded node execution that is not taken over."""

    credits: int
    is_done_unkeyed: bool


class _Tally:
    """Counts what is left to be executed, and what that means."""

    def __init__(self, version: Version, registry: BlockRegistry) -> None:
        self._version = version
        self._registry = registry
        self._left: dict[Key, _Left] = {}

    def add(self, offered: Iterable[Offered]) -> None:
        for one in offered:
            key = (one.node, one.row.n)
            if one.is_taken:
                self._left.pop(key, None)
            else:
                self._left[key] = self._judge(self._version.nodes[one.node], one.row)

    def preview(self, reuse: Reuse, chosen: list[int] | None) -> Preview:
        may_run = reuse.may_run
        left = {key: one for key, one in self._left.items() if key[0] in may_run}
        counts = Counter(node for node, _ in left)
        never = [node for node in may_run if node not in counts]
        estimated = sum(one.credits for one in left.values())
        estimated += sum(self._credits(self._version.nodes[node], {}) for node in never)
        unkeyed = Counter(node for (node, _), one in left.items() if one.is_done_unkeyed)
        return Preview(
            reused=self._by_id(reuse.reused),
            to_run=self._by_id({node: counts[node] or 1 for node in may_run}),
            unkeyed=self._by_id(unkeyed),
            estimated_credits=estimated,
            chosen=chosen,
        )

    def _by_id(self, counts: Mapping[int, int]) -> dict[str, int]:
        return {self._version.nodes[node].id: counts[node] for node in sorted(counts)}

    def _judge(self, node: VersionNode, row: RecordedRow) -> _Left:
        block = self._registry.get(node.block_id)
        given = _given(block, node, row.inputs) if block else {}
        is_unkeyed = block is None or block.effect_of(given) is Effect.UNKEYED
        return _Left(
            credits=block.cost_of(given) if block else 0,
            is_done_unkeyed=is_unkeyed and row.status is Status.COMPLETED,
        )

    def _credits(self, node: VersionNode, inputs: Mapping[str, Envelope]) -> int:
        block = self._registry.get(node.block_id)
        return block.cost_of(_given(block, node, inputs)) if block else 0


class _Records:
    """The record of an execution, for the API."""

    def __init__(self, sessions: Sessions, values: Values, execution: Execution) -> None:
        self._sessions = sessions
        self._values = values
        self._owner = execution.user_id
        self._execution_id = execution.id

    async def list_ids(self) -> Sequence[uuid.UUID]:
        async with self._sessions() as session:
            return await originals.list_row_ids(session, self._owner, self._execution_id)

    async def list_called(self) -> Sequence[CalledRow]:
        async with self._sessions() as session:
            return await originals.list_called(session, self._owner, self._execution_id)

    async def load(self, ids: Sequence[uuid.UUID]) -> Sequence[RecordedRow]:
        async with self._sessions() as session:
            return await originals.load_rows(session, self._owner, self._execution_id, ids)

    async def open(self, envelopes: Iterable[Envelope]) -> Mapping[str, Any]:
        return await self._values.find(self._owner, envelopes)


def _numbers_of(node_ids: Sequence[str], version: Version) -> list[int]:
    unknown = [node_id for node_id in node_ids if node_id not in version.numbers]
    if unknown:
        raise InvalidRequest(
            f"The graph has no node {unknown[0]!r}", details={"unknown_nodes": unknown[:100]}
        )
    return sorted({version.numbers[node_id] for node_id in node_ids})


def _given(block: Block, node: VersionNode, inputs: Mapping[str, Envelope]) -> dict[str, Any]:
    """Return what decides about a call's price and effect: small values as they were recorded, constants, defaults."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in block.Input.model_fields.items()
        if not field.is_required() and field.default_factory is None
    }
    recorded = {pin: envelope[0] for pin, envelope in inputs.items() if not is_reference(envelope)}
    return {**defaults, **node.input_default, **recorded}
