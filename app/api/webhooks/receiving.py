"""Takes what comes in through webhooks: proven first, then read, then started, each delivery once.

Until a delivery is proven it is nobody's: the same is done for an id that nothing has, and answered. From then on the
work is for the webhook's owner.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.datastructures import Headers

from app.api.auditing import concern
from app.api.edge.rate_limits import RateLimits
from app.api.metrics import ApiMetrics
from app.api.services.identity import fingerprint_of
from app.api.services.launching import Launching, Started
from app.api.webhooks.content import (
    BodyType,
    delivery_id_of,
    events_of,
    find_challenge,
    is_wanted,
    read_content,
)
from app.api.webhooks.proving import WebhookProving
from app.api.webhooks.signatures import Scheme
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import Forbidden, InvalidRequest, PerdureError
from app.graph.signature import PAYLOAD, Kind
from app.models import graphs, presets, users, webhook_deliveries
from app.models.tables.webhooks import Webhook
from app.starting.deciding import Deciding, Wanted
from app.tenants import working_for

TRIGGER = "webhook"
STARTED = "started"
REPEATED = "repeated"
IGNORED = "ignored"
CHALLENGED = "challenged"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a delivery."""

    webhook: Webhook
    delivery_id: str = ""
    challenge: str | None = None
    """What the sender wants to be given back, if it only asks whether somebody is there."""
    started: Started | None = None
    """None when it is none of the events that start something."""

    @property
    def outcome(self) -> str:
        """What it is counted as."""
        if self.challenge is not None:
            return CHALLENGED
        if self.started is None:
            return IGNORED
        return REPEATED if self.started.is_replayed else STARTED


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A delivery that is proven and read."""

    webhook: Webhook
    id: str
    content: Any
    event: str

    @property
    def fingerprint(self) -> str:
        """Return what a repeat has in common with the first time.

        Neither the body, which need not be signed with the id, nor what the webhook is by now.
        """
        return fingerprint_of({"webhook": str(self.webhook.id), "delivery": self.id})


class WebhookReceiving:
    """Takes deliveries."""

    def __init__(
        self,
        sessions: Sessions,
        registry: BlockRegistry,
        deciding: Deciding,
        launching: Launching,
        *,
        proving: WebhookProving,
        rate_limits: RateLimits,
        metrics: ApiMetrics,
    ) -> None:
        """Take what receiving needs.

        Args:
            sessions: Where what is the owner's is read and written.
            registry: The blocks there are.
            deciding: Decides what an execution is.
            launching: Starts it.
            proving: Finds out whose a delivery is.
            rate_limits: Count what comes in.
            metrics: Count what becomes of it.
        """
        self._sessions = sessions
        self._registry = registry
        self._deciding = deciding
        self._launching = launching
        self._proving = proving
        self._rate_limits = rate_limits
        self._metrics = metrics

    async def take(self, webhook_id: uuid.UUID, headers: Headers, body: bytes, *, waits: bool) -> Received:
        """Take a delivery, and start what it is to start unless that was done before.

        Args:
            webhook_id: As the sender has it.
            headers: As they came.
            body: As it came.
            waits: Whether the sender wants to be told what comes of it.

        Raises:
            Unauthenticated: There is no such webhook, or the delivery is not proven to come from its sender just now.
            RateLimited: There were too many.
            Forbidden: The webhook is turned off, or its owner is suspended.
            InvalidRequest: The body is not what the webhook takes, or the sender may not wait.
            NotFound: The graph or its version is gone.
            GraphInvalid: The inputs or the preset's credentials do not fit.
            InsufficientCredits: The owner has no credits.
            EngineUnavailable: Nothing was started; a repeat may be.
        """
        try:
            received = await self._take(webhook_id, headers, body, waits=waits)
        except PerdureError as error:
            self._metrics.note_webhook(error.code)
            raise
        self._metrics.note_webhook(received.outcome)
        return received

    async def _take(self, webhook_id: uuid.UUID, headers: Headers, body: bytes, *, waits: bool) -> Received:
        webhook, proof = await self._proving.prove(webhook_id, headers, body)
        await self._rate_limits.take_webhook(webhook.user_id, str(webhook.id))
        with working_for(webhook.user_id):
            if not webhook.is_active:
                raise Forbidden("This webhook is turned off")
            scheme = Scheme(webhook.scheme)
            content = await read_content(BodyType(webhook.body_type), body)
            challenge = find_challenge(scheme, content)
            if challenge is not None:
                return Received(webhook, challenge=challenge)
            if waits and not webhook.allows_wait:
                raise InvalidRequest("This webhook does not let its sender wait")
            events = events_of(scheme, headers, content)
            delivery_id = delivery_id_of(scheme, proof, body, content)
            delivery = _Delivery(webhook, delivery_id, content, events[-1] if events else "")
            if not is_wanted(scheme, webhook.events, events):
                await self._note(delivery, outcome=IGNORED)
                # It may have been wanted once.
                return Received(webhook, delivery_id, started=(await self._find_earlier(delivery))[1])
            return Received(webhook, delivery_id, started=await self._start_once(delivery))

    # -- what it starts

    async def _start_once(self, delivery: _Delivery) -> Started:
        webhook = delivery.webhook
        await self._note(delivery)
        try:
            started = await self._start(delivery)
        except PerdureError as error:
            await self._write_outcome(delivery, outcome=error.code, message=_in_full(error))
            # What is wrong in particular is for the owner to read: a sender need not know their graph or balance.
            error.details.clear()
            raise
        await self._write_outcome(delivery, outcome=STARTED, execution_id=started.execution.id)
        log.info(
            "webhook_delivered",
            webhook_id=str(webhook.id),
            execution_id=str(started.execution.id),
            is_replayed=started.is_replayed,
        )
        return started

    async def _start(self, delivery: _Delivery) -> Started:
        webhook = delivery.webhook
        execution_id, earlier = await self._find_earlier(delivery)
        if earlier is not None:
            return earlier
        # Only now: whoever repeats what was done, or does nothing, leaves no entry in the owner's log.
        concern(webhook.user_id, webhook.id, webhook_id=str(webhook.id))
        wanted = await self._make_wanted(delivery)
        decided = await self._deciding.decide(wanted, execution_id)
        return await self._launching.launch(decided.execution, decided.launch)

    async def _find_earlier(self, delivery: _Delivery) -> tuple[uuid.UUID, Started | None]:
        owner, fingerprint = delivery.webhook.user_id, delivery.fingerprint
        return await self._launching.find_earlier(owner, f"webhook {fingerprint}", fingerprint=fingerprint)

    async def _make_wanted(self, delivery: _Delivery) -> Wanted:
        webhook = delivery.webhook
        return Wanted(
            owner=webhook.user_id,
            graph_id=webhook.graph_id,
            version=webhook.graph_version,
            preset_id=webhook.preset_id,
            inputs=await self._make_inputs(webhook, delivery.content),
            trigger=TRIGGER,
            trigger_id=webhook.id,
            budget=webhook.budget,
            on_insufficient_credits=webhook.on_insufficient_credits,
            fingerprint=delivery.fingerprint,
        )

    async def _make_inputs(self, webhook: Webhook, content: Any) -> dict[str, Any]:
        if webhook.input is not None:
            return {webhook.input: content}
        async with self._sessions() as session:
            preset = await presets.find_preset_of(
                session, webhook.user_id, webhook.preset_id, webhook.graph_id
            )
            version = webhook.graph_version or (preset.graph_version if preset else None)
            saved = await graphs.require_graph(session, webhook.user_id, webhook.graph_id, version=version)
        if self._has_trigger(saved.version.definition):
            return {PAYLOAD: content}
        if not isinstance(content, dict):
            raise InvalidRequest("The body is no object of run inputs")
        return content

    def _has_trigger(self, definition: dict[str, Any]) -> bool:
        blocks = (self._registry.signatures.get(node["block_id"]) for node in definition["nodes"])
        return any(block is not None and block.kind is Kind.TRIGGER for block in blocks)

    # -- what is written down

    async def _note(self, delivery: _Delivery, *, outcome: str = "") -> None:
        webhook = delivery.webhook
        async with self._sessions.begin() as session:
            await users.require_active(session, webhook.user_id)
            await webhook_deliveries.note_delivery(
                session, webhook.user_id, webhook.id, delivery.id, event=delivery.event, outcome=outcome
            )

    async def _write_outcome(self, delivery: _Delivery, **told: Any) -> None:
        webhook = delivery.webhook
        async with self._sessions.begin() as session:
            await webhook_deliveries.write_outcome(session, webhook.user_id, webhook.id, delivery.id, **told)


def _in_full(error: PerdureError) -> str:
    """Return what is wrong, with what there is to say of it."""
    details = json.dumps(error.details, ensure_ascii=False, default=str)
    return f"{error.message}: {details}" if error.details else error.message
