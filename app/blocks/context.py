"""What a remote block may use of the world around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.blocks.language_models import LanguageModels
    from app.blocks.outbound_http import OutboundHttp


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
