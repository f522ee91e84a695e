"""One block run on its own, as a standalone activity: to try a block out, with no execution around it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.contexts import CallRef, Contexts
from app.activities.contracts import TRIAL_ACTIVITY, BlockTrial, BlockTrialResult
from app.activities.origins import Origin
from app.blocks.base import Emitted, PureBlock, RemoteBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.blocks.registry import BlockRegistry
from app.errors import BlockError, PerdureError
from app.json_values import to_json


class BlockUntriable(BlockError):
    """This block does nothing outside a graph."""

    code = "NOT_SUPPORTED"


class BlockTrials:
    """Runs blocks outside executions."""

    def __init__(self, registry: BlockRegistry, contexts: Contexts) -> None:
        """Take what all trials in this process share."""
        self._registry = registry
        self._contexts = contexts

    @activity.defn(name=TRIAL_ACTIVITY)
    async def execute_block(self, trial: BlockTrial) -> BlockTrialResult:
        """Run a block once.

        Raises:
            ApplicationError: It failed; the type is the error's code, its details are those of the error.
        """
        try:
            block = self._registry.require(trial.block_id)
            if not isinstance(block, PureBlock | RemoteBlock):
                raise BlockUntriable
            given = prepare(block, trial.inputs, {})
            outputs = [(pin, value) async for pin, value in self._run(block, given, trial.user_id)]
        except PerdureError as error:
            raise ApplicationError(
                error.message,
                error.details,
                type=error.code,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            ) from error
        return BlockTrialResult(outputs, block.cost_of(given.model_dump()))

    async def _run(self, block: PureBlock | RemoteBlock, given: Any, user_id: str) -> AsyncIterator[Emitted]:
        if isinstance(block, PureBlock):
            for emitted in run_pure(block, given):
                yield emitted
            return
        context = self._contexts.make(
            Origin(user_id, graph_id="", plan_hash=""),
            CallRef(
                execution_id="",
                node_id="",
                attempt=1,
                is_last_attempt=True,
                idempotency_key=str(uuid.uuid4()),
            ),
        )
        async for pin, value in block.run(given, context):
            jsonable = to_json(value)
            check_output(block, pin, jsonable)
            yield pin, jsonable
