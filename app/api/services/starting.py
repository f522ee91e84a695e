"""Starts what callers ask for. Postgres is read and large inputs are stored first, which binds nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.api.services.identity import fingerprint_of
from app.api.services.launching import Launching, Started
from app.starting.deciding import Deciding, Wanted


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a caller asks for."""

    wanted: Wanted
    idempotency_key: str | None = None
    asked: Mapping[str, Any] | None = None
    """What the caller has said of it; None when that is all that is wanted. The rest may be other in a repeat."""

    @property
    def fingerprint(self) -> str:
        """Return what a repeat of this request has in common with it."""
        if self.asked is not None:
            return fingerprint_of(self.asked)
        wanted = self.wanted
        return fingerprint_of(
            {
                "graph": str(wanted.graph_id),
                "version": wanted.version,
                "preset": str(wanted.preset_id),
                "trigger": [wanted.trigger, str(wanted.trigger_id)],
                "inputs": dict(wanted.inputs),
                "credentials_inputs": dict(wanted.credentials_inputs),
                "budget": wanted.budget,
                "on_insufficient_credits": wanted.on_insufficient_credits,
                "timeout_seconds": wanted.timeout_seconds,
                "max_node_executions": wanted.max_node_executions,
                "priority": wanted.priority,
            }
        )


class Starting:
    """Starts executions."""

    def __init__(self, deciding: Deciding, launching: Launching) -> None:
        """Take what decides what an execution is, and what starts it."""
        self._deciding = deciding
        self._launching = launching

    async def start(self, request: StartRequest) -> Started:
        """Start an execution, or find the one that this request has started before.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            Forbidden: The owner is suspended.
            GraphInvalid: The inputs or the chosen credentials do not fit.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: The key was used for another request, or more was asked for than an execution may take.
            EngineUnavailable: Nothing was started.
        """
        wanted, fingerprint = request.wanted, request.fingerprint
        execution_id, earlier = await self._launching.find_earlier(
            wanted.owner, request.idempotency_key, fingerprint=fingerprint
        )
        if earlier is not None:
            return earlier
        decided = await self._deciding.decide(replace(wanted, fingerprint=fingerprint), execution_id)
        return await self._launching.launch(decided.execution, decided.launch)
