"""What models write, while they write it, announced to whoever listens. It is in no table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

CHANNEL = "perdure_tokens"

_ANNOUNCE = "SELECT pg_notify($1, given.text) FROM unnest($2::text[]) AS given(text)"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of what a model writes for a node execution."""

    execution_id: str
    node_id: str
    node_execution_id: str
    text: str


async def announce_tokens(pool: asyncpg.Pool[Any], tokens: Sequence[Token]) -> None:
    """Announce pieces in their order. Each has to fit into the 8,000 bytes that Postgres takes."""
    texts = [json.dumps([t.execution_id, t.node_id, t.node_execution_id, t.text]) for t in tokens]
    await pool.execute(_ANNOUNCE, CHANNEL, texts)


def read_token(announced: str) -> Token:
    """Return the piece that was announced."""
    return Token(*json.loads(announced))
