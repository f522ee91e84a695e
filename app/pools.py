"""Pools: kinds of blocks that workers of their own may serve.

Decides what their task queues are called, and which of them a worker serves. Knows no block and no worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.errors import Category, PerdureError, Severity

COMMON_POOL = "default"
"""Names the common queue: workflows, what the engine needs, and every block that names no pool."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class PoolUnknown(PerdureError):
    """There is no pool of that name."""

    code = "POOL_UNKNOWN"
    severity = Severity.CRITICAL
    category = Category.VALIDATION


def is_pool_name(name: str) -> bool:
    """Return whether a block may name a pool so."""
    return name != COMMON_POOL and _NAME.fullmatch(name) is not None


def queue_of(task_queue: str, pool: str) -> str:
    """Return the task queue of a pool.

    Args:
        task_queue: The common queue.
        pool: The pool's name; empty, as of a block that names none, means the common queue.
    """
    return task_queue if pool in ("", COMMON_POOL) else f"{task_queue}-{pool}"


def choose_pools(known: Iterable[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the pools that a worker serves, the common one first.

    Args:
        known: The pools that blocks name.
        wanted: The pools that it was told to serve; empty for all.

    Raises:
        PoolUnknown: A wanted pool is not among them.
    """
    pools = (COMMON_POOL, *sorted(known))
    for name in wanted:
        if name not in pools:
            raise PoolUnknown(f"There is no pool {name!r}; the pools are {', '.join(pools)}")
    return tuple(pool for pool in pools if not wanted or pool in wanted)


def share_out(pools: Sequence[str], allotments: Iterable[tuple[str, int]], *, usual: int) -> dict[str, int]:
    """Return how many remote blocks a worker runs at once, by pool.

    Args:
        pools: The pools that it serves.
        allotments: (pool, number); no pool means all of them, and what is said of one pool wins over that.
        usual: For pools of which nothing is said.

    Raises:
        PoolUnknown: It does not serve a pool that is named.
    """
    by_pool = dict(allotments)
    usual = by_pool.pop("", usual)
    for name in by_pool:
        if name not in pools:
            raise PoolUnknown(f"This worker serves no pool {name!r}; it serves {', '.join(pools)}")
    return {pool: by_pool.get(pool, usual) for pool in pools}
