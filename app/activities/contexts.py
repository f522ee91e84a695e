"""Makes what a block may use: the clients that all calls of a process share, bound to one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.activities.files import CallFiles
from app.activities.memory import CallMemory
from app.activities.node_runs import node_execution_id
from app.activities.origins import Origin
from app.activities.steps import NodeSteps, UnkeptSteps
from app.activities.tokens import TokenFeed, unheard
from app.activities.values import ValueCache
from app.activities.vault import ChosenCredentials, Vault
from app.blocks.context import BlockContext, Steps
from app.code_sandbox.jobs import CodeSandbox
from app.files.store import FileStore
from app.graph.credentials import CredentialsNeed
from app.llm.language_models import LanguageModels
from app.llm.metering import Meter
from app.outbound.http import OutboundHttp
from app.outbound.services import WebServices


@dataclass(frozen=True, slots=True)
class CallRef:
    """One attempt at one node execution, or at a block on its own."""

    execution_id: str
    """Empty for a block on its own."""
    node_id: str
    attempt: int
    is_last_attempt: bool
    idempotency_key: str
    needs: Mapping[str, CredentialsNeed] = field(default_factory=dict)
    """What the block's inputs for credentials are for."""
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Ids of the credentials that were chosen, by input."""
    place: tuple[int, int] | None = None
    """Node and n; None for a block on its own."""
    is_first_attempt: bool = True
    """Whether no attempt has come before, not even one that was lost."""
    meter: Meter = field(default_factory=Meter)
    """Counts what language models use."""


class Contexts:
    """Makes contexts."""

    def __init__(  # noqa: PLR0913 - the clients that blocks may use, each by name
        self,
        *,
        http: OutboundHttp,
        language_models: LanguageModels,
        vault: Vault,
        pool: asyncpg.Pool[Any],
        values: ValueCache,
        tokens: TokenFeed,
        files: FileStore,
        web: WebServices | None = None,
        sandbox: CodeSandbox | None = None,
    ) -> None:
        """Take what all calls in this process share."""
        self._http = http
        self._language_models = language_models
        self._vault = vault
        self._pool = pool
        self._values = values
        self._tokens = tokens
        self._files = files
        self._web = web or WebServices()
        self._sandbox = sandbox

    def make(self, origin: Origin, call: CallRef) -> BlockContext:
        """Return what a block may use in one call."""
        return BlockContext(
            user_id=origin.user_id,
            graph_id=origin.graph_id,
            execution_id=call.execution_id,
            node_id=call.node_id,
            attempt=call.attempt,
            is_last_attempt=call.is_last_attempt,
            idempotency_key=call.idempotency_key,
            http=self._http,
            language_models=self._language_models.metered_by(call.meter),
            files=CallFiles(
                self._files,
                self._http,
                owner=origin.user_id,
                execution_id=call.execution_id,
                idempotency_key=call.idempotency_key,
            ),
            memory=CallMemory(self._pool, owner=origin.user_id, graph_id=origin.graph_id),
            credentials=ChosenCredentials(
                self._vault, origin.user_id, chosen=call.credentials, needs=call.needs
            ),
            steps=self._steps_of(origin, call),
            stream=self._stream_of(call),
            report_dollars=call.meter.add_dollars,
            web=self._web,
            sandbox=self._sandbox,
        )

    def _steps_of(self, origin: Origin, call: CallRef) -> Steps:
        if call.place is None:
            return UnkeptSteps()
        return NodeSteps(
            self._pool,
            self._values,
            call.execution_id,
            call.place,
            owner=origin.user_id,
            is_first_attempt=call.is_first_attempt,
            meter=call.meter,
        )

    def _stream_of(self, call: CallRef) -> Callable[[str], Awaitable[None]]:
        if call.place is None:
            return unheard
        identity = node_execution_id(call.execution_id, *call.place)
        return self._tokens.stream_of(call.execution_id, call.node_id, identity)
