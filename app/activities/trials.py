"""One block run on its own, as a standalone activity: to try a block out, with no execution around it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.contexts import CallRef, Contexts
from app.activities.contracts.trials import (
    LONGEST_TRIAL_SECONDS,
    TRIAL_ACTIVITY,
    BlockTrial,
    BlockTrialResult,
)
from app.activities.failures import BlockCrashed, BlockTimedOut
from app.activities.origins import Origin
from app.activities.outages import wait_out
from app.activities.pricing import Price
from app.blocks.base import Emitted, PureBlock, RemoteBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.blocks.registry import BlockRegistry
from app.errors import BlockError, PerdureError
from app.graph.credential_needs import read_choice
from app.json_values import to_json
from app.llm.metering import Meter
from app.models import trial_spending
from app.secrecy import (
    has_secrets,
    keeping_secrets,
    note_secrets,
    scrub,
    scrub_value,
    texts_by_secret_name,
)

log = structlog.get_logger(__name__)


class BlockUntriable(BlockError):
    """This block does nothing outside a graph."""

    code = "NOT_SUPPORTED"


@dataclass(slots=True)
class _Payment:
    """What a call has cost, once that is known."""

    cost: int = 0


class BlockTrials:
    """Runs blocks outside executions."""

    def __init__(self, registry: BlockRegistry, contexts: Contexts, pool: asyncpg.Pool[Any]) -> None:
        """Take what all trials in this process share; the pool is of the ledger."""
        self._registry = registry
        self._contexts = contexts
        self._pool = pool

    @activity.defn(name=TRIAL_ACTIVITY)
    async def execute_block(self, trial: BlockTrial) -> BlockTrialResult:
        """Run a block once.

        Raises:
            ApplicationError: It failed; the type is the error's code, its details are those of the error.
        """
        with keeping_secrets():
            try:
                return await self._try(trial)
            except PerdureError as error:
                raise _failure(error) from (None if has_secrets() else error)
            except Exception as error:  # foreign code: what escapes is its failure, and may quote a secret
                log.exception("block_crashed", block_id=trial.block_id)
                raise _failure(BlockCrashed(f"{type(error).__name__} in the block")) from None

    async def _try(self, trial: BlockTrial) -> BlockTrialResult:
        block = self._registry.require(trial.block_id)
        if not isinstance(block, PureBlock | RemoteBlock):
            raise BlockUntriable
        chosen = {name: read_choice(trial.inputs.get(name)) for name in block.credentials}
        mask = {name: {"id": choice} if choice else None for name, choice in chosen.items()}
        given = prepare(block, trial.inputs, {}, mask=mask)
        plain = given.model_dump()
        note_secrets(texts_by_secret_name(plain))
        price, meter = Price(block), Meter()
        price.read(plain)
        trial_id = activity.info().activity_id
        async with self._paid(trial_id, price.estimate, owner=trial.user_id) as paid:
            outputs = await self._call(block, given, trial, chosen, price=price, meter=meter)
            paid.cost = price.charge(meter)
        return BlockTrialResult(outputs, paid.cost)

    @asynccontextmanager
    async def _paid(self, trial_id: str, estimate: int, *, owner: str) -> AsyncIterator[_Payment]:
        """Reserve what a call is estimated to cost, and charge what it has cost: nothing unless it ends well.

        A worker that dies meanwhile leaves it reserved; the reconciler releases it.
        """
        paid = _Payment()
        if not estimate:
            yield paid
            return

        async def reserve() -> None:
            async with self._pool.acquire() as connection:
                await trial_spending.reserve_trial(connection, trial_id, estimate, owner=owner)

        async def settle() -> int:
            async with self._pool.acquire() as connection:
                return await trial_spending.settle_trial(connection, trial_id, paid.cost, owner=owner)

        await wait_out(reserve)
        try:
            yield paid
        finally:
            paid.cost = await wait_out(settle)

    async def _call(
        self,
        block: PureBlock | RemoteBlock,
        given: Any,
        trial: BlockTrial,
        chosen: Mapping[str, str],
        *,
        price: Price,
        meter: Meter,
    ) -> list[Emitted]:
        """Return what the block emits, and have it counted."""
        outputs: list[Emitted] = []
        price.begin()
        try:
            # The API waits a little longer, so that what it takes for failed was not charged.
            async with asyncio.timeout(min(block.timeout_seconds, LONGEST_TRIAL_SECONDS)):
                async for pin, value in self._run(block, given, trial, chosen, meter=meter):
                    price.count(value)
                    outputs.append((pin, value))
        except TimeoutError as error:
            raise BlockTimedOut("The block did not end within its time") from error
        return outputs

    async def _run(
        self,
        block: PureBlock | RemoteBlock,
        given: Any,
        trial: BlockTrial,
        chosen: Mapping[str, str],
        *,
        meter: Meter,
    ) -> AsyncIterator[Emitted]:
        if isinstance(block, PureBlock):
            for emitted in run_pure(block, given):
                yield emitted
            return
        context = self._contexts.make(
            Origin(trial.user_id, graph_id="", plan_hash=""),
            CallRef(
                execution_id="",
                node_id="",
                attempt=1,
                is_last_attempt=True,
                idempotency_key=str(uuid.uuid4()),
                needs=block.credentials,
                credentials=chosen,
                meter=meter,
            ),
        )
        async for pin, value in block.run(given, context):
            jsonable = to_json(value)
            check_output(block, pin, jsonable)
            yield pin, jsonable


def _failure(error: PerdureError) -> ApplicationError:
    return ApplicationError(
        scrub(error.message),
        scrub_value(error.details),
        type=error.code,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,
    )
