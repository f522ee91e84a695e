"""What a remote block may use of the world around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.blocks.credentials import Credentials, CredentialsMissing
from app.blocks.tools import Conversation
from app.outbound.services import WebServices

if TYPE_CHECKING:
    from app.code_sandbox.jobs import CodeSandbox
    from app.llm.language_models import LanguageModels
    from app.outbound.http import OutboundHttp

C = TypeVar("C", bound=Credentials)


@dataclass(frozen=True, slots=True)
class File:
    """A file in memory."""

    content: bytes
    name: str
    content_type: str
    """As its content shows, not as somebody said."""


class Files(Protocol):
    """The files of one execution and of its owner."""

    async def read(self, reference: str, *, limit_bytes: int | None = None) -> File:
        """Return a file.

        Args:
            reference: A data URI, an http(s) URL, or `workspace://` and an id of a file of the owner's.
            limit_bytes: The largest that is read; None for the largest that is stored.

        Raises:
            BlockInputInvalid: It is none of these, or the owner has no such file.
            BlockLimitExceeded: It is too large.
            BlockUnavailable: It cannot be fetched now.
        """

    async def store(
        self, content: bytes, *, name: str = "", content_type: str = "", is_kept: bool = False
    ) -> str:
        """Keep a file and return its reference, `workspace://…`.

        Args:
            content: What is in it.
            name: What people call it; made from the type when empty.
            content_type: What it is taken for when its content does not show it.
            is_kept: Whether it outlives the execution.

        Raises:
            BlockLimitExceeded: It is too large, or the owner's quota is used up.
        """


class Scope(StrEnum):
    """Who sees what is remembered."""

    AGENT = "within_agent"
    """Executions of the same graph."""
    USER = "across_agents"
    """All executions of the owner."""


class Memory(Protocol):
    """What executions leave for later ones: values by key."""

    async def get(self, key: str, *, scope: Scope) -> list[Any]:
        """Return the value in a list, or an empty list when there is none."""

    async def put(self, key: str, value: Any, *, scope: Scope) -> None:
        """Keep a value; the last one stays.

        Raises:
            BlockLimitExceeded: The value or the key is too long, or there are too many.
        """


class CredentialsSource(Protocol):
    """The credentials that were chosen for one node."""

    async def find(self, field: str) -> Credentials | None:
        """Return the credentials for an input of the block, valid now, or None when none were chosen.

        Raises:
            CredentialsMissing: Those that were chosen are gone, or cannot be refreshed any more.
            BlockUnavailable: They cannot be refreshed now.
        """


class Steps(Protocol):
    """Pieces of work that are done once, however often the node execution is attempted."""

    async def do(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return what a step gives as JSON, doing it only if no earlier attempt has done it.

        Args:
            name: Of the step; another one for every piece of work of the node execution.
            work: Does it, and returns something that JSON can hold.
        """


def _unheard(_: float) -> None: ...


@dataclass(frozen=True, slots=True)
class BlockContext:
    """One attempt at one node execution, and the clients it may use."""

    user_id: str
    graph_id: str
    execution_id: str
    """Empty when the block is run on its own."""
    node_id: str
    attempt: int
    """1 for the first try."""
    is_last_attempt: bool
    """Whether the engine will not try again if this attempt fails."""
    idempotency_key: str
    """The same for every attempt of this node execution; sent to services that understand one."""
    http: OutboundHttp
    language_models: LanguageModels
    files: Files
    memory: Memory
    credentials: CredentialsSource
    steps: Steps
    stream: Callable[[str], Awaitable[None]]
    """Shows a piece of text to those who watch the execution at this moment. Nobody keeps it."""
    report_dollars: Callable[[float], None] = _unheard
    """Says what a provider asks for what the block has just had it do, in US dollars, where its cost goes by that."""
    web: WebServices = field(default_factory=WebServices)
    """What the operator has chosen."""
    sandbox: CodeSandbox | None = None
    """Where code is executed; None when this worker executes none."""
    conversation: Conversation = field(default_factory=Conversation)
    """Of a block that calls tools: which there are, and where it stands with them."""

    async def require_credentials(self, kind: type[C], field: str = "credentials") -> C:
        """Return the credentials for an input of the block.

        Raises:
            CredentialsMissing: None were chosen, or not of this kind.
            BlockUnavailable: They cannot be refreshed now.
        """
        found = await self.credentials.find(field)
        if not isinstance(found, kind):
            raise CredentialsMissing
        return found
