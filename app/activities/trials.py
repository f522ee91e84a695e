"""One block run on its own, as a standalone activity: to try a block out, with no execution around it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.contexts import CallRef, Contexts
from app.activities.contracts import TRIAL_ACTIVITY, BlockTrial, BlockTrialResult
from app.activities.failures import BlockCrashed
from app.activities.origins import Origin
from app.blocks.base import Emitted, PureBlock, RemoteBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.blocks.registry import BlockRegistry
from app.errors import BlockError, PerdureError
from app.graph.credential_needs import read_choice
from app.json_values import to_json
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
        given = prepare(block, trial.inputs, {})
        plain = given.model_dump()
        note_secrets(texts_by_secret_name(plain))
        outputs = [(pin, value) async for pin, value in self._run(block, given, trial)]
        return BlockTrialResult(outputs, block.cost_of(plain))

    async def _run(
        self, block: PureBlock | RemoteBlock, given: Any, trial: BlockTrial
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
                credentials={name: read_choice(trial.inputs.get(name)) for name in block.credentials},
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
