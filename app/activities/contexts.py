"""Makes what a block may use: the clients that all calls of a process share, bound to one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.activities.origins import Origin
from app.blocks.context import BlockContext, File, Scope
from app.errors import BlockError
from app.llm.language_models import LanguageModels
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


class NoFiles:
    """To be replaced."""

    async def read(self, reference: str, *, limit_bytes: int | None = None) -> File:
        """Refuse."""
        raise BlockError

    async def store(
        self, content: bytes, *, name: str = "", content_type: str = "", is_kept: bool = False
    ) -> str:
        """Refuse."""
        raise BlockError


class NoMemory:
    """To be replaced."""

    async def get(self, key: str, *, scope: Scope) -> list[Any]:
        """Refuse."""
        raise BlockError

    async def put(self, key: str, value: Any, *, scope: Scope) -> None:
        """Refuse."""
        raise BlockError


class NoCredentials:
    """To be replaced."""

    async def find(self, field: str) -> None:
        """Return none."""


async def unheard(text: str) -> None:
    """To be replaced."""


class Contexts:
    """Makes contexts."""

    def __init__(
        self, *, http: OutboundHttp, language_models: LanguageModels, web: WebServices | None = None
    ) -> None:
        """Take what all calls in this process share."""
        self._http = http
        self._language_models = language_models
        self._web = web or WebServices()

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
            language_models=self._language_models,
            files=NoFiles(),
            memory=NoMemory(),
            credentials=NoCredentials(),
            stream=unheard,
            web=self._web,
        )
