"""Sends deliveries by e-mail: one by one as long as they are few, then all of an hour together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from app.errors import BlockError
from app.models import mailings
from app.models.deliveries import FoundDelivery
from app.models.mailings import Along
from app.models.notification_events import OF_NOTIFICATIONS
from app.notifying.contents import make_subject, make_text
from app.notifying.rules import DeliveryRules
from app.outbound.mail import Mail, MailServer, send_mail

MOST_ALONG = 1_000
"""Deliveries that go with one e-mail; what is left waits for the next."""
SPREAD_SECONDS = 60.0
"""What waits for the same moment does not come all at once: the first takes the others along."""


class Mailing:
    """Writes to users."""

    def __init__(
        self, pool: asyncpg.Pool[Any], server: MailServer | None, rules: DeliveryRules, *, base_url: str
    ) -> None:
        """Take the record, who takes e-mails, and how many there may be."""
        self._pool = pool
        self._server = server
        self._rules = rules
        self._base_url = base_url

    @property
    def is_open(self) -> bool:
        """Answer whether there is a mail server."""
        return self._server is not None

    async def pause_of(self, found: FoundDelivery) -> timedelta:
        """Return how long a delivery has to wait because its notification has sent many e-mails."""
        if found.event in OF_NOTIFICATIONS:
            return timedelta()
        _, left = await self._find_pause(found)
        return left + timedelta(seconds=random.uniform(0.1, SPREAD_SECONDS)) if left else left  # noqa: S311 - spreads load

    async def send(self, found: FoundDelivery) -> Sequence[Along]:
        """Send a delivery; return what went along.

        Raises:
            BlockError: It could not be sent.
        """
        if self._server is None:
            raise BlockError("This deployment sends no e-mail")
        along: Sequence[Along] = ()
        if found.event not in OF_NOTIFICATIONS and (await self._find_pause(found))[0]:
            along = await mailings.list_waiting(
                self._pool, found.notification_id, found.key, limit=MOST_ALONG
            )
        mail = Mail(
            found.email,
            make_subject(found, more=len(along)),
            make_text(found, along, base_url=self._base_url),
            found.key.id,
        )
        await send_mail(self._server, mail, timeout_seconds=self._rules.attempt_seconds)
        return along

    async def _find_pause(self, found: FoundDelivery) -> tuple[bool, timedelta]:
        return await mailings.find_pause(
            self._pool,
            found.notification_id,
            found.key.user_id,
            most_a_day=self._rules.mails_a_day,
            pause=self._rules.mail_pause,
        )
