"""The block that executes code. The walls around it are built elsewhere; here it is only handed over."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import CredentialsRef
from app.code_sandbox.jobs import Job, Language, Outcome
from app.errors import BlockDisabled, BlockError
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

SETTING = "PERDURE_CODE_SANDBOX"
MAX_TIMEOUT_SECONDS = 1_800
QUEUE_SECONDS = 600.0
"""How long a call may wait for its turn besides: a worker executes few codes at once."""
MAX_FILES = 100
MAX_INLINE_BYTES = 20_000
NOT_USED = {"credentials": CredentialsNeed(providers=("e2b",), is_required=False)}
_KINDS = (
    "text",
    "html",
    "markdown",
    "svg",
    "png",
    "jpeg",
    "pdf",
    "latex",
    "json",
    "javascript",
    "data",
    "chart",
    "extra",
)
"""What a result may be shown as; where it has no such form stands a null."""


_EXECUTED = frozenset(each.value for each in Language)


class CodeLanguage(StrEnum):
    """The languages that agents ask for."""

    PYTHON = "python"
    JS = "js"
    BASH = "bash"
    R = "r"
    JAVA = "java"


class SandboxFile(BaseModel):
    """A file that code left in its working folder."""

    path: str
    """Within the folder."""
    name: str
    size: int
    """In bytes."""
    mime_type: str
    content: str
    """Its text, when it is one and not long; empty otherwise."""
    workspace_ref: str
    """Where it is kept."""


class ExecuteCodeBlock(RemoteBlock):
    """Execute code in a sandbox that has no network and sees nothing of the machine.

    What it writes into its working folder comes out as files. It is off until the server's owner turns it on.
    """

    id = "0b02b072-abe7-11ef-8372-fb5d162dd712"
    categories = (BlockCategory.DEVELOPER_TOOLS,)
    setting = SETTING
    timeout_seconds = MAX_TIMEOUT_SECONDS + QUEUE_SECONDS
    effect = Effect.PURE
    credentials = NOT_USED

    class Input(BlockInput):
        """The code."""

        credentials: CredentialsRef | None = None
        """Not used: the sandbox is the worker's own."""
        setup_commands: list[str] = Field(default=[])
        """Shell commands that are executed first. There is no network, so nothing can be installed."""
        code: str = ""
        """The code. In Python and JavaScript the value of its last expression is its result."""
        language: CodeLanguage = CodeLanguage.PYTHON
        """Its language. R and Java are not executed here."""
        timeout: int = 300
        """Seconds that all of it may take, at most half an hour."""
        dispose_sandbox: bool = True
        """Without a meaning here: nothing is left of a sandbox."""
        template_id: str = ""
        """Without a meaning here."""

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
        files: list[SandboxFile]
        """The files in the working folder afterwards, a hundred at most."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Execute the code.

        Raises:
            BlockError: It failed.
            BlockLimitExceeded: It reached a limit on time, memory or output.
            BlockUnavailable: The sandbox cannot be built now.
        """
        outcome = await execute(
            context,
            given.language,
            given.code,
            setup_commands=given.setup_commands,
            timeout_seconds=given.timeout,
        )
        for emitted in shown(outcome):
            yield emitted
        if outcome.folder:
            found = list(outcome.folder.items())[:MAX_FILES]
            yield "files", [await _kept(context, path, content) for path, content in found]


async def execute(
    context: BlockContext,
    language: CodeLanguage,
    code: str,
    *,
    setup_commands: Sequence[str] = (),
    folder: Mapping[str, bytes] | None = None,
    timeout_seconds: int = 300,
) -> Outcome:
    """Execute code in the sandbox of this worker.

    Raises:
        BlockDisabled: It has none.
        BlockError: The code failed, or its language is not executed here.
        BlockLimitExceeded: It reached a limit on time, memory or output.
        BlockUnavailable: The sandbox cannot be built now.
    """
    if context.sandbox is None:
        raise BlockDisabled(f"Code is not executed on this worker: {SETTING} is not set there")
    if language.value not in _EXECUTED:
        raise BlockError(f"Code in {language} is not executed here, only python, js and bash")
    return await context.sandbox.run(
        Job(
            Language(language),
            code,
            setup_commands=setup_commands,
            folder=folder or {},
            timeout_seconds=min(max(1, timeout_seconds), MAX_TIMEOUT_SECONDS),
        )
    )


def shown(outcome: Outcome) -> list[Emitted]:
    """Return what code showed and printed, by pin; only what there is."""
    results = [{kind: result.get(kind) for kind in _KINDS} for result in outcome.results]
    main = results[:1]
    emitted: list[Emitted] = [("main_result", result) for result in main]
    if results:
        emitted.append(("results", [{**result, "is_main_result": result is main[0]} for result in results]))
    texts = {
        "response": str(main[0]["text"] or "") if main else "",
        "stdout_logs": outcome.stdout,
        "stderr_logs": outcome.stderr,
    }
    return [*emitted, *((pin, text) for pin, text in texts.items() if text)]


async def _kept(context: BlockContext, path: str, content: bytes) -> SandboxFile:
    name = PurePosixPath(path).name
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    reference = await context.files.store(content, name=name, content_type=kind)
    try:
        text = content.decode() if len(content) <= MAX_INLINE_BYTES else ""
    except UnicodeDecodeError:
        text = ""
    return SandboxFile(
        path=path,
        name=name,
        size=len(content),
        mime_type=kind,
        content=text.replace("\0", ""),
        workspace_ref=reference,
    )
