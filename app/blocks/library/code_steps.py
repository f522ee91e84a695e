"""The blocks that execute code step by step in a sandbox that lasts.

It is no process that waits somewhere: it is the files of its working folder, kept between two node executions, which
may be carried by different workers.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import Scope
from app.blocks.credentials import CredentialsRef
from app.blocks.library.code import (
    MAX_TIMEOUT_SECONDS,
    NOT_USED,
    QUEUE_SECONDS,
    SETTING,
    CodeLanguage,
    execute,
    shown,
)
from app.code_sandbox.folder import pack, unpack
from app.errors import BlockInputInvalid
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

STEP_TIMEOUT_SECONDS = 300
_SANDBOXES = uuid.UUID("5f0c1d0e-2c29-4df0-a7cf-6a54a8a9d3f1")
"""Namespace of the ids of sandboxes."""


class InstantiateCodeSandboxBlock(RemoteBlock):
    """Prepare a sandbox whose files last from one code step to the next.

    Its working folder is kept as long as the execution; variables and processes are not.
    """

    id = "ff0861c9-1726-4aec-9e5b-bf53f3622112"
    categories = (BlockCategory.DEVELOPER_TOOLS,)
    setting = SETTING
    timeout_seconds = MAX_TIMEOUT_SECONDS + QUEUE_SECONDS
    effect = Effect.KEYED
    credentials = NOT_USED

    class Input(BlockInput):
        """What is done to prepare it."""

        credentials: CredentialsRef | None = None
        """Not used: the sandbox is the worker's own."""
        setup_commands: list[str] = Field(default=[])
        """Shell commands that are executed first. There is no network, so nothing can be installed."""
        setup_code: str = ""
        """Code that is executed then."""
        language: CodeLanguage = CodeLanguage.PYTHON
        """Its language. R and Java are not executed here."""
        timeout: int = 300
        """Seconds that all of it may take, at most half an hour."""
        template_id: str = ""
        """Without a meaning here."""

    class Output(BlockOutput):
        """The sandbox, and what was shown and printed."""

        sandbox_id: str
        """What steps name it by, within the same execution."""
        response: str
        """The value of the last expression as text."""
        stdout_logs: str
        """What was printed."""
        stderr_logs: str
        """What was printed there."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Execute the setup and keep the folder.

        Raises:
            BlockError: It failed.
            BlockLimitExceeded: It reached a limit on time, memory or output.
            BlockUnavailable: The sandbox cannot be built now.
        """
        outcome = await execute(
            context,
            given.language,
            given.setup_code,
            setup_commands=given.setup_commands,
            timeout_seconds=given.timeout,
        )
        # The same for every attempt, so that none leaves a sandbox that nobody knows.
        sandbox_id = f"sandbox-{uuid.uuid5(_SANDBOXES, context.idempotency_key)}"
        await _keep(context, sandbox_id, outcome.folder, before=None)
        yield "sandbox_id", sandbox_id
        for pin, value in shown(outcome):
            if pin in ("response", "stdout_logs", "stderr_logs"):
                yield pin, value


class ExecuteCodeStepBlock(RemoteBlock):
    """Execute code in a sandbox that another node has prepared.

    It finds the files that earlier steps left; variables do not last.
    """

    id = "82b59b8e-ea10-4d57-9161-8b169b0adba6"
    categories = (BlockCategory.DEVELOPER_TOOLS,)
    setting = SETTING
    timeout_seconds = STEP_TIMEOUT_SECONDS + QUEUE_SECONDS
    effect = Effect.KEYED
    credentials = NOT_USED

    class Input(BlockInput):
        """The sandbox and the code."""

        credentials: CredentialsRef | None = None
        """Not used: the sandbox is the worker's own."""
        sandbox_id: str
        """Of a sandbox of this execution."""
        step_code: str = ""
        """The code."""
        language: CodeLanguage = CodeLanguage.PYTHON
        """Its language. R and Java are not executed here."""
        dispose_sandbox: bool = False
        """Whether the sandbox is thrown away after this step."""

    class Output(BlockOutput):
        """What came of it. Only what there is comes out."""

        main_result: dict[str, Any]
        """The value of the last expression by form: `text`, `json`, `html`, `png` and others."""
        results: list[dict[str, Any]]
        """The same in a list."""
        response: str
        """The value as text."""
        stdout_logs: str
        """What was printed."""
        stderr_logs: str
        """What was printed there."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Execute the code in the folder as the last step left it, and keep it again.

        Raises:
            BlockInputInvalid: There is no such sandbox.
            BlockError: The code failed; the folder stays as it was.
            BlockLimitExceeded: It reached a limit on time, memory or output.
            BlockUnavailable: The sandbox cannot be built now.
        """
        before = await _find(context, given.sandbox_id)
        folder = unpack((await context.files.read(before)).content)[0]
        outcome = await execute(context, given.language, given.step_code, folder=folder)
        if given.dispose_sandbox:
            await _put(context, given.sandbox_id, None, before=before)
        else:
            await _keep(context, given.sandbox_id, outcome.folder, before=before)
        for emitted in shown(outcome):
            yield emitted


async def _find(context: BlockContext, sandbox_id: str) -> str:
    """Return where the folder of a sandbox is kept."""
    found = await context.memory.get(_key(sandbox_id), scope=Scope.USER)
    kept = found[0] if found and isinstance(found[0], dict) else {}
    # An attempt that comes after a lost one of its own begins where that began.
    reference = kept.get("before") if kept.get("by") == context.idempotency_key else kept.get("folder")
    if not isinstance(reference, str):
        raise BlockInputInvalid("There is no such sandbox, or it was thrown away")
    return reference


async def _keep(
    context: BlockContext, sandbox_id: str, folder: Mapping[str, bytes], *, before: str | None
) -> None:
    reference = await context.files.store(
        pack(folder), name=f"{sandbox_id}.folder", content_type="application/octet-stream"
    )
    await _put(context, sandbox_id, reference, before=before)


async def _put(context: BlockContext, sandbox_id: str, folder: str | None, *, before: str | None) -> None:
    kept = {"folder": folder, "before": before, "by": context.idempotency_key}
    await context.memory.put(_key(sandbox_id), kept, scope=Scope.USER)


def _key(sandbox_id: str) -> str:
    return f"code sandbox {sandbox_id}"
