"""Makes the attempts of deliveries: what is told is made of the record, sent, and what came of it written down.

Nothing of where it goes, or of what signs it, gets into Temporal, the log or the row.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from temporalio import activity

from app.activities.attempts import counted_attempt
from app.activities.contracts.deliveries import AttemptRequest, AttemptResult, DeliveryActivities
from app.activities.couriers import Couriers
from app.activities.mailing import Mailing
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import BlockError, PerdureError
from app.models import deliveries, mailings, notification_writes
from app.models.deliveries import AttemptRecord, DeliveryKey, FoundDelivery
from app.models.mailings import Along
from app.models.notification_events import OF_NOTIFICATIONS, Channel, DeliveryStatus
from app.notifying.contents import OUTPUTS_BYTES, make_body, make_content
from app.notifying.rules import CROWD, DeliveryRules
from app.notifying.targets import WebhookTarget, check_url, secret_parts
from app.outbound.http import OutboundHttp
from app.outbound.mail import MailServer
from app.secrecy import keeping_secrets, note_secrets, scrub
from app.telemetry import series
from app.telemetry.tallies import Tallies
from app.visible import keep_visible

HEARTBEAT_EVERY_SECONDS = 1.5
ANSWER_LENGTH = 500
"""Characters of an answer that are kept."""
ENVELOPES_BYTES = 2 * OUTPUTS_BYTES
"""Outputs that take more in their envelopes are too large without them. What is packed small is no less."""
ANSWER_BYTES = 256 * 1024
"""A receiver that answers more has not understood what it was sent."""
GONE = 410
FAILING = "FAILING"
ENDPOINT_GONE = "GONE"
_OVER = AttemptResult(is_over=True)
_OUTCOMES = {
    DeliveryStatus.DELIVERED: series.DELIVERED,
    DeliveryStatus.PENDING: series.RETRYING,
    DeliveryStatus.FAILED: series.GIVEN_UP,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a receiver said."""

    record: AttemptRecord
    retry_after_seconds: float | None = None
    along: Sequence[Along] = ()
    """Deliveries that have gone with it."""

    @property
    def is_delivered(self) -> bool:
        """Answer whether it was taken."""
        return not self.record.error


@dataclass(frozen=True, slots=True)
class Reach:
    """What deliveries reach the world with."""

    http: OutboundHttp
    allowed_private_hosts: Collection[str]
    mail: MailServer | None
    encryption: CredentialsEncryption
    base_url: str
    """Where people reach the API; empty when nobody has said."""


class Delivering(DeliveryActivities):
    """Delivers to webhooks and by e-mail."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        couriers: Couriers,
        reach: Reach,
        rules: DeliveryRules,
        tallies: Tallies,
    ) -> None:
        """Take the record, who has further deliveries begin, what reaches receivers, on what terms, and who counts."""
        self._pool = pool
        self._couriers = couriers
        self._reach = reach
        self._rules = rules
        self._tallies = tallies
        self._mailing = Mailing(pool, reach.mail, rules, base_url=reach.base_url)
        self._under_way: Counter[str] = Counter()

    @activity.defn(name="deliver_notification")
    async def deliver(self, request: AttemptRequest) -> AttemptResult:
        """Make one attempt, and write down what came of it."""
        key = DeliveryKey(request.delivery_id, request.user_id)
        async with counted_attempt(heartbeat_seconds=HEARTBEAT_EVERY_SECONDS):
            found = await deliveries.find_delivery(self._pool, key, outputs_bytes=ENVELOPES_BYTES)
            if found is None or found.status is not DeliveryStatus.PENDING:
                return _OVER
            refusal = _refusal(found)
            if refusal:
                return await self._give_up(found, refusal)
            if found.channel is Channel.EMAIL and (pause := await self._mailing.pause_of(found)):
                return await self._put_off(key, pause)
            if not self._has_room(found):
                waiting = await deliveries.count_waiting(
                    self._pool, found.notification_id, owner=key.user_id, at_most=CROWD
                )
                return await self._put_off(key, self._rules.put_off(request.put_off, waiting=waiting))
            with self._place(found), keeping_secrets():
                sent = await self._send(found)
            return await self._record(found, sent, request)

    async def _put_off(self, key: DeliveryKey, wait: timedelta) -> AttemptResult:
        await deliveries.put_off(self._pool, key, wait)
        return AttemptResult(is_over=False, is_attempt=False, wait_seconds=wait.total_seconds())

    def _has_room(self, found: FoundDelivery) -> bool:
        return all(self._under_way[name] < most for name, most in self._places_of(found).items())

    def _places_of(self, found: FoundDelivery) -> dict[str, int]:
        """Return of what an attempt takes a place, and how many places each has."""
        rules = self._rules
        is_mail = found.channel is Channel.EMAIL
        places = {
            "all": rules.at_once,
            f"user {found.key.user_id}": rules.at_once_of_user,
            # What waits when an e-mail is sent goes with it, so there are no two.
            f"notification {found.notification_id}": 1 if is_mail else rules.at_once_each,
        }
        return places | {"failing": rules.at_once_failing} if found.is_failing else places

    @contextmanager
    def _place(self, found: FoundDelivery) -> Iterator[None]:
        places = list(self._places_of(found))
        self._under_way.update(places)
        try:
            yield
        finally:
            self._under_way.subtract(places)
            self._under_way += Counter()  # forgets those that are at nothing

    # -- sending

    async def _send(self, found: FoundDelivery) -> Sent:
        at, began = datetime.now(UTC), time.monotonic()
        try:
            if found.channel is Channel.EMAIL:
                along = await self._mailing.send(found)
                return Sent(AttemptRecord(at, time.monotonic() - began), along=along)
            return await self._post(found, at, began)
        except (BlockError, CredentialsUnreadable) as error:
            record = AttemptRecord(at, time.monotonic() - began, error=_said(error))
            return Sent(record, getattr(error, "retry_after_seconds", None))

    async def _post(self, found: FoundDelivery, at: datetime, began: float) -> Sent:
        target = self._open(found)
        note_secrets([*secret_parts(target.url), *target.secrets])
        check_url(target.url, self._reach.allowed_private_hosts)
        body = make_body(make_content(found, base_url=self._reach.base_url))
        response = await self._reach.http.request(
            "POST",
            target.url,
            headers={"content-type": "application/json", **target.sign(found.key.id, at, body)},
            content=body.encode(),
            follows_redirects=False,
            limit_bytes=ANSWER_BYTES,
            timeout_seconds=self._rules.attempt_seconds,
        )
        code = response.status_code
        record = AttemptRecord(
            at,
            time.monotonic() - began,
            code,
            "" if response.is_success else f"The receiver answered {code}",
            _cleaned(response.text),
        )
        return Sent(record, response.retry_after_seconds if code in (429, 503) else None)

    def _open(self, found: FoundDelivery) -> WebhookTarget:
        sealed = Sealed(found.key_id, found.secret or b"")
        opened = self._reach.encryption.open(found.key.user_id, uuid.UUID(found.notification_id), sealed)
        return WebhookTarget.of(opened)

    # -- what came of it

    async def _record(self, found: FoundDelivery, sent: Sent, request: AttemptRequest) -> AttemptResult:
        elapsed, patience = timedelta(seconds=request.elapsed_seconds), self._rules.patience
        is_gone = sent.record.status_code == GONE
        status, wait = DeliveryStatus.DELIVERED, timedelta()
        if not sent.is_delivered:
            is_last = is_gone or elapsed >= patience
            status = DeliveryStatus.FAILED if is_last else DeliveryStatus.PENDING
            asked = self._rules.wait(request.failures + 1, asked_seconds=sent.retry_after_seconds)
            wait = timedelta() if is_last else min(asked, patience - elapsed)
        async with self._pool.acquire() as connection, connection.transaction():
            further: list[DeliveryKey] = []
            # The notification before its delivery, as when both are deleted.
            if found.channel is not Channel.WEBHOOK:
                pass  # that an e-mail is taken says nothing of the webhook that it tells of
            elif sent.is_delivered:
                await notification_writes.note_success(connection, found)
            else:
                further = await self._note_failure(connection, found, is_gone=is_gone)
            is_new = await deliveries.record_attempt(
                connection, found.key, sent.record, status=status, wait=wait
            )
            if sent.along:
                await mailings.end_along(connection, found.key.user_id, sent.along, sent.record)
        self._couriers.send(further)
        if is_new:
            self._tallies.count(series.DELIVERIES, found.channel, _OUTCOMES[status], by=1 + len(sent.along))
        if status is DeliveryStatus.FAILED:
            log.warning("delivery_given_up", delivery_id=found.key.id, told=found.event)
        return AttemptResult(status is not DeliveryStatus.PENDING, wait_seconds=wait.total_seconds())

    async def _note_failure(
        self, connection: asyncpg.Connection[Any], found: FoundDelivery, *, is_gone: bool
    ) -> list[DeliveryKey]:
        """Note it, and switch the notification off if that is enough; return what is to tell its owner."""
        is_hopeless = await notification_writes.note_failure(connection, found, bears=self._rules.bears)
        if not is_gone and not is_hopeless:
            return []
        reason, sends_mail = ENDPOINT_GONE if is_gone else FAILING, self._mailing.is_open
        further = await notification_writes.disable(connection, found, reason, sends_mail=sends_mail)
        if further is not None:
            log.warning("notification_disabled", notification_id=found.notification_id, reason=reason)
        return further or []

    async def _give_up(self, found: FoundDelivery, reason: str) -> AttemptResult:
        record = AttemptRecord(datetime.now(UTC), 0.0, error=reason)
        async with self._pool.acquire() as connection:
            is_new = await deliveries.record_attempt(
                connection, found.key, record, status=DeliveryStatus.FAILED
            )
        if is_new:
            self._tallies.count(series.DELIVERIES, found.channel, series.WITHHELD)
        return _OVER


def _refusal(found: FoundDelivery) -> str:
    """Return why nothing is to be sent, or nothing."""
    if found.is_suspended:
        return "The account is suspended"
    if not found.is_active and found.event not in OF_NOTIFICATIONS:
        return "The notification is switched off"
    return ""


def _said(error: PerdureError) -> str:
    return _cleaned(error.message)


def _cleaned(text: str) -> str:
    return scrub(keep_visible(text[: 4 * ANSWER_LENGTH], keeps_lines=True))[:ANSWER_LENGTH]
