"""One block run on its own, as a standalone activity: to try a block out, with no execution around it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.contracts import TRIAL_ACTIVITY, BlockTrial, BlockTrialResult
from app.blocks.base import Emitted, PureBlock, RemoteBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.blocks.context import BlockContext
from app.blocks.json_values import to_json
from app.blocks.language_models import LanguageModels
from app.blocks.outbound_http import OutboundHttp
from app.blocks.registry import BlockRegistry
from app.errors import BlockError, PerdureError


class BlockUntriable(BlockError):
    """This block does nothing outside a graph."""

    code = "NOT_SUPPORTED"


class BlockTrials:
    """Runs blocks outside executions."""

    def __init__(
        self, registry: BlockRegistry, *, http: OutboundHttp, language_models: LanguageModels
    ) -> None:
        """Take what all trials in this process share."""
        self._registry = registry
        self._http = http
        self._language_models = language_models

    @activity.defn(name=TRIAL_ACTIVITY)
    async def execute_block(self, trial: BlockTrial) -> BlockTrialResult:
        """Run a block once.

        Raises:
            ApplicationError: It failed; the type is the error's code.
        """
        try:
            block = self._registry.require(trial.block_id)
            if not isinstance(block, PureBlock | RemoteBlock):
                raise BlockUntriable
            given = prepare(block, trial.inputs, {})
            outputs = [(pin, value) async for pin, value in self._run(block, given, trial.user_id)]
        except PerdureError as error:
            raise ApplicationError(
                error.message, type=error.code, non_retryable=True, category=ApplicationErrorCategory.BENIGN
            ) from error
        return BlockTrialResult(outputs, block.cost_of(given.model_dump()))

    async def _run(self, block: PureBlock | RemoteBlock, given: Any, user_id: str) -> AsyncIterator[Emitted]:
        if isinstance(block, PureBlock):
            for emitted in run_pure(block, given):
                yield emitted
            return
        context = BlockContext(
            user_id=user_id,
            graph_id="",
            execution_id="",
            node_id="",
            attempt=1,
            is_last_attempt=True,
            idempotency_key=str(uuid.uuid4()),
            http=self._http,
            language_models=self._language_models,
        )
        async for pin, value in block.run(given, context):
            jsonable = to_json(value)
            check_output(block, pin, jsonable)
            yield pin, jsonable
