"""What a block may use, kept in memory: for blocks that are called without an engine around them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from app.blocks.context import BlockContext, File, Scope
from app.blocks.credentials import Credentials
from app.code_sandbox.jobs import CodeSandbox
from app.errors import BlockInputInvalid, BlockLimitExceeded
from app.files.data_uris import DataUriBroken, parse_data_uri
from app.files.references import make_reference
from app.json_values import to_json
from app.llm.language_models import LanguageModels
from app.outbound.http import OutboundHttp


class MemoryFiles:
    """Files by reference."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}

    async def read(self, reference: str, *, limit_bytes: int | None = None) -> File:
        if reference.startswith("data:"):
            return self._decode(reference, limit_bytes)
        if reference not in self.files:
            raise BlockInputInvalid("There is no such file")
        return self.files[reference]

    async def store(
        self, content: bytes, *, name: str = "", content_type: str = "", is_kept: bool = False
    ) -> str:
        reference = make_reference(uuid.UUID(int=len(self.files) + 1))
        self.files[reference] = File(content, name, content_type)
        return reference

    def _decode(self, reference: str, limit_bytes: int | None) -> File:
        try:
            given = parse_data_uri(reference)
        except DataUriBroken as error:
            raise BlockInputInvalid(str(error)) from error
        if limit_bytes is not None and len(given.content) > limit_bytes:
            raise BlockLimitExceeded("The file is too large")
        return File(given.content, "", given.media_type)


class MemoryOfOne:
    """Values by scope and key."""

    def __init__(self) -> None:
        self.values: dict[tuple[Scope, str], Any] = {}

    async def get(self, key: str, *, scope: Scope) -> list[Any]:
        return [self.values[scope, key]] if (scope, key) in self.values else []

    async def put(self, key: str, value: Any, *, scope: Scope) -> None:
        self.values[scope, key] = value


class GivenCredentials:
    """Credentials by input."""

    def __init__(self, **given: Credentials) -> None:
        self.given = given

    async def find(self, field: str) -> Credentials | None:
        return self.given.get(field)


class MemorySteps:
    """Steps by name. Give the same to several calls to have them be attempts at one node execution."""

    def __init__(self) -> None:
        self.done: dict[str, Any] = {}

    async def do(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        if name not in self.done:
            self.done[name] = to_json(await work())
        return self.done[name]


def make_context(
    *,
    http: OutboundHttp | None = None,
    language_models: LanguageModels | None = None,
    attempt: int = 1,
    is_last_attempt: bool = True,
    files: MemoryFiles | None = None,
    memory: MemoryOfOne | None = None,
    credentials: GivenCredentials | None = None,
    steps: MemorySteps | None = None,
    streamed: list[str] | None = None,
    sandbox: CodeSandbox | None = None,
    idempotency_key: str = "e:n:1",
) -> BlockContext:
    async def stream(text: str) -> None:
        if streamed is not None:
            streamed.append(text)

    return BlockContext(
        user_id="u",
        graph_id="g",
        execution_id="e",
        node_id="n",
        attempt=attempt,
        is_last_attempt=is_last_attempt,
        idempotency_key=idempotency_key,
        http=http or OutboundHttp(),
        language_models=language_models or LanguageModels(),
        files=files or MemoryFiles(),
        memory=memory or MemoryOfOne(),
        credentials=credentials or GivenCredentials(),
        steps=steps or MemorySteps(),
        stream=stream,
        sandbox=sandbox,
    )
