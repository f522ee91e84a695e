"""Runs one block with no execution around it, as a standalone activity on a worker. The API itself runs no block."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from temporalio.client import ActivityFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

from app.activities.contracts.trials import (
    LONGEST_TRIAL_SECONDS,
    TRIAL_ACTIVITY,
    BlockTrial,
    BlockTrialResult,
)
from app.api.engine import Engine, engine_errors
from app.api.errors import BlockRefused
from app.api.schemas.blocks import TrialView
from app.blocks.base import Block
from app.errors import (
    BlockDisabled,
    EngineUnavailable,
    InsufficientCredits,
    PerdureError,
    SpendingLimitReached,
)
from app.fairness import make_priority
from app.pools import queue_of

WAIT_FOR_WORKER_SECONDS = 10.0
MARGIN_SECONDS = 10.0
_UNPAID: Mapping[str, type[PerdureError]] = {
    error.code: error for error in (InsufficientCredits, SpendingLimitReached)
}
_REFUSED = (InsufficientCredits, SpendingLimitReached, BlockDisabled, EngineUnavailable)
"""What says that the block was not called."""
MARGIN_OF_WORKER_SECONDS = 5.0
"""The worker ends a call by itself, and then writes down that it costs nothing."""


async def _nothing() -> None: ...


class Trials:
    """Has blocks tried."""

    def __init__(self, engine: Engine, *, task_queue: str) -> None:
        """Take where workers are found."""
        self._engine = engine
        self._task_queue = task_queue

    async def run(
        self,
        owner: str,
        block: Block,
        inputs: dict[str, Any],
        *,
        on_begin: Callable[[], Awaitable[None]] = _nothing,
        on_refusal: Callable[[], Awaitable[None]] = _nothing,
    ) -> TrialView:
        """Return what one call of a block emits.

        Args:
            owner: Who tries it.
            block: The block.
            inputs: What it is given.
            on_begin: Called when it can be tried; from then on it may have done something.
            on_refusal: Called when it has done nothing after all.

        Raises:
            BlockRefused: The block failed, or took too long.
            BlockDisabled: The worker has it turned off.
            InsufficientCredits: The balance does not cover it.
            SpendingLimitReached: A budget of the owner's does not cover it.
            EngineUnavailable: There is no Temporal or no worker.
        """
        client = await self._engine.client()
        await on_begin()
        seconds = min(block.timeout_seconds, LONGEST_TRIAL_SECONDS) + MARGIN_OF_WORKER_SECONDS
        try:
            with engine_errors():
                async with asyncio.timeout(WAIT_FOR_WORKER_SECONDS + seconds + MARGIN_SECONDS):
                    result: BlockTrialResult = await client.execute_activity(
                        TRIAL_ACTIVITY,
                        BlockTrial(block.id, inputs, owner),
                        id=f"trial/{uuid.uuid4()}",
                        task_queue=queue_of(self._task_queue, block.pool),
                        result_type=BlockTrialResult,
                        schedule_to_start_timeout=timedelta(seconds=WAIT_FOR_WORKER_SECONDS),
                        start_to_close_timeout=timedelta(seconds=seconds),
                        retry_policy=RetryPolicy(maximum_attempts=1),
                        summary=f"try {block.name}",
                        priority=make_priority(owner),
                    )
        except ActivityFailureError as error:
            refusal = _refusal(error)
            if isinstance(refusal, _REFUSED):
                await on_refusal()
            raise refusal from error
        outputs: dict[str, list[Any]] = {}
        for pin, value in result.outputs:
            outputs.setdefault(pin, []).append(value)
        return TrialView(outputs=outputs, cost=result.cost)


def _refusal(error: ActivityFailureError) -> PerdureError:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        if cause.type == BlockDisabled.code:
            return BlockDisabled(cause.message)
        if unpaid := _UNPAID.get(cause.type or ""):
            return unpaid(cause.message, details=_details_of(cause))
        return BlockRefused(cause.type or "BLOCK_FAILED", cause.message, details=_details_of(cause))
    if isinstance(cause, ActivityTimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START:
        return EngineUnavailable("No worker took the block")
    if isinstance(cause, ActivityTimeoutError):
        return BlockRefused("TIMED_OUT", "The block did not end within its time")
    return BlockRefused("BLOCK_FAILED", "The block failed")


def _details_of(cause: ApplicationError) -> dict[str, Any]:
    first = cause.details[0] if cause.details else None
    return first if isinstance(first, dict) else {}
