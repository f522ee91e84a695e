"""The ledger after a round: whatever died, it adds up, nothing is held back, and each call was charged once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import asyncpg

from app.database import plain_url
from tests.engine import use_json
from tests.fault.harness.evidence import Evidence
from tests.ledger import charges, require_sound
from tests.stack import Stack


async def list_wrongs(stack: Stack, evidence: Sequence[Evidence]) -> list[str]:
    """Return what is wrong with the ledger of the user to whom these executions belong."""
    owner = evidence[0].record["user_id"]
    pool = await asyncpg.create_pool(plain_url(stack.database_url), min_size=1, max_size=2, init=use_json)
    try:
        wrongs = [text for one in evidence for text in _compare(one, await charges(pool, one.record["id"]))]
        try:
            await require_sound(pool, owner)
        except AssertionError as error:
            wrongs.append(f"the ledger does not add up: {error}")
    finally:
        await pool.close()
    return wrongs


def _compare(evidence: Evidence, charged: dict[str, int]) -> Iterator[str]:
    """Say which node executions were not charged what their record says."""
    for row in evidence.own_nodes:
        # What is nested is charged there.
        own = 0 if row["nested_execution_id"] else row["cost"]
        if charged.get(row["id"], 0) != own:
            yield f"{evidence.name}: {row['node_id']} costs {own}, {charged.get(row['id'], 0)} were charged"
    expected = evidence.expected
    if expected is not None and evidence.record["status"] == expected.record["status"] == "COMPLETED":
        prices, without = _prices(evidence), _prices(expected)
        if evidence.own_nodes == evidence.nodes and prices != without:
            yield f"{evidence.name}: without faults it costs {without - prices}, not {prices - without}"


def _prices(evidence: Evidence) -> Counter[str]:
    return Counter(f"{row['node_id']}: {row['cost']}" for row in evidence.nodes)


def sum_of(evidence: Sequence[Evidence]) -> int:
    """Return what executions have cost, those that are not nested."""
    return sum(one.record["cost"] for one in evidence if one.record["trigger"] != "subgraph")
