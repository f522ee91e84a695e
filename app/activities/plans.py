"""The plans that this worker has met, ready for calling blocks: kept in the process, read from Postgres once."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.blocks.base import Block
from app.blocks.placeholders import PlaceholderBlock
from app.blocks.registry import BlockRegistry
from app.errors import NotFound
from app.graph.credential_needs import read_choice
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, make_inline
from app.graph.packing import pack
from app.graph.pins import base_name, select
from app.graph.placeholders import MISSING_BLOCK, PLACEHOLDER
from app.graph.plan import Plan, PlanNode, plan_from_json
from app.graph.signature import Kind
from app.graph.tools import is_tool_pin

INLINE_PLAN_BYTES = 128 * 1024
_QUERY = "SELECT plan, configuration FROM plans WHERE hash = $1"


@dataclass(frozen=True, slots=True)
class Route:
    """A source of a node: where links start."""

    number: int
    name: str
    """The source name of its links: a pin, or a selector of one."""

    def pick(self, pin: str, value: Any) -> tuple[bool, Any]:
        """Return whether a value emitted on a pin goes out here, and what of it."""
        return (True, value) if self.name == pin else select(value, self.name, pin)


@dataclass(frozen=True, slots=True)
class LoadedNode:
    """A node with its block, its constants and its names."""

    id: str
    block_id: str
    block: Block
    input_default: Mapping[str, Any]
    pins: tuple[str, ...]
    """Linked input pins by number."""
    title: str
    """What its author calls it; empty for nothing."""
    routes: Mapping[str, tuple[Route, ...]]
    """By emitted pin."""
    constants: Mapping[str, Envelope]
    """The constants that a record shows. Large ones stand in the graph alone."""
    credentials: Mapping[str, tuple[str, bool]]
    """By input: the key that its credentials are chosen by, and whether the node is skipped without them."""

    def choose_credentials(self, choices: Mapping[str, str]) -> dict[str, str]:
        """Return the ids of its credentials by input: what an execution has chosen, else what the node names."""
        chosen = {
            field: choices.get(key) or read_choice(self.input_default.get(field))
            for field, (key, _) in self.credentials.items()
        }
        return {field: credentials_id for field, credentials_id in chosen.items() if credentials_id}

    def is_skipped(self, chosen: Mapping[str, str]) -> bool:
        """Answer whether it is passed over for want of credentials that its author calls optional."""
        return any(is_skipped and field not in chosen for field, (_, is_skipped) in self.credentials.items())

    @property
    def is_output(self) -> bool:
        """Answer whether its values are run outputs."""
        return self.block.kind is Kind.OUTPUT

    @property
    def output_name(self) -> str:
        """Return the name of the run output that an output node's values are."""
        return str(self.input_default.get("name") or self.id)

    @property
    def is_leaf(self) -> bool:
        """Answer whether no link starts here."""
        routes = (route for of_pin in self.routes.values() for route in of_pin)
        is_linked = any(not is_tool_pin(route.name) for route in routes)
        return not is_linked and self.block.kind is not Kind.NOTE


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A plan and what its nodes are called with."""

    document: dict[str, Any]
    """The plan as JSON, as workflows take it."""
    plan: Plan
    nodes: tuple[LoadedNode, ...]
    packed: str
    """The document as it travels in parts; empty for one that is small enough for one payload."""

    def result_nodes(self) -> list[int]:
        """Return the nodes that run outputs come from: the output nodes, or the leaves where there is none."""
        outputs = [number for number, node in enumerate(self.nodes) if node.is_output]
        return outputs or [number for number, node in enumerate(self.nodes) if node.is_leaf]


class PlanCache:
    """Loads plans by hash; keeps the last ones used."""

    def __init__(self, pool: asyncpg.Pool[Any], registry: BlockRegistry, *, capacity: int = 64) -> None:
        """Make an empty cache.

        Args:
            pool: Where plans are read from.
            registry: Where their blocks are found.
            capacity: How many plans are kept.
        """
        self._pool = pool
        self._registry = registry
        self._capacity = capacity
        self._plans: OrderedDict[str, LoadedPlan] = OrderedDict()
        self._lock = asyncio.Lock()

    async def require(self, plan_hash: str) -> LoadedPlan:
        """Return a plan.

        Raises:
            NotFound: There is no such plan.
        """
        if plan_hash not in self._plans:
            async with self._lock:
                if plan_hash not in self._plans:
                    self._plans[plan_hash] = await self._load(plan_hash)
                    if len(self._plans) > self._capacity:
                        self._plans.popitem(last=False)
        self._plans.move_to_end(plan_hash)
        return self._plans[plan_hash]

    async def find(self, plan_hash: str) -> LoadedPlan | None:
        """Return a plan, or None when there is none."""
        try:
            return await self.require(plan_hash)
        except NotFound:
            return None

    async def _load(self, plan_hash: str) -> LoadedPlan:
        row = await self._pool.fetchrow(_QUERY, plan_hash)
        if row is None:
            raise NotFound(f"There is no plan {plan_hash}")
        document = row["plan"]
        plan = plan_from_json(document)
        nodes = tuple(
            _load_node(configuration, self._block_of(configuration, planned))
            for configuration, planned in zip(row["configuration"], plan.nodes, strict=True)
        )
        is_large = len(json.dumps(document)) > INLINE_PLAN_BYTES
        return LoadedPlan(document, plan, nodes, pack(document) if is_large else "")

    def _block_of(self, configuration: Mapping[str, Any], planned: PlanNode) -> Block:
        """Return a node's block. A placeholder stays one, since its lane is in the plan, and so in histories.

        Of a block that this worker does not have, the node alone fails, not all executions with one. Its remote calls
        wait for a worker that has it (`app.activities.missing_blocks`). What is pure does not: waves are carried out
        where the workflow is, and a block that has been taken away for good would have it stand still.
        """
        block_id = configuration["block_id"]
        if planned.block != PLACEHOLDER.name:
            return self._registry.get(block_id) or PlaceholderBlock(planned.block)
        missing = configuration["metadata"].get(MISSING_BLOCK) or block_id
        return PlaceholderBlock(str(missing), exists_now=self._registry.get(block_id) is not None)


def _load_node(configuration: Mapping[str, Any], block: Block) -> LoadedNode:
    routes: dict[str, list[Route]] = {}
    for number, name in enumerate(configuration["sources"]):
        for pin in {name} if is_tool_pin(name) else {name, base_name(name)}:
            routes.setdefault(pin, []).append(Route(number, name))
    return LoadedNode(
        id=configuration["id"],
        block_id=configuration["block_id"],
        block=block,
        input_default=configuration["input_default"],
        pins=tuple(configuration["pins"]),
        title=str(configuration["metadata"].get("customized_name") or ""),
        routes={pin: tuple(of_pin) for pin, of_pin in routes.items()},
        constants={
            pin: make_inline(value)
            for pin, value in configuration["input_default"].items()
            if len(json.dumps(value)) <= INLINE_LIMIT_BYTES
        },
        credentials={
            field: (key, is_skipped)
            for field, (key, is_skipped) in configuration.get("credentials", {}).items()
        },
    )
