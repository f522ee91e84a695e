"""Finds out whose a delivery to a webhook is. As much is done for an id that nothing has, and answered alike."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import structlog
from starlette.datastructures import Headers

from app.api.webhooks.signatures import Proof, Scheme, is_proven, read_proof
from app.database import Sessions
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import Unauthenticated
from app.models import webhooks
from app.models.tables.webhooks import Webhook

NOBODY = uuid.UUID(int=0)

log = structlog.get_logger(__name__)


class WebhookProving:
    """Proves deliveries."""

    def __init__(self, sessions: Sessions, encryption: CredentialsEncryption) -> None:
        """Take where a webhook is found, whosever it is, and what opens the secrets of webhooks."""
        self._sessions = sessions
        self._encryption = encryption
        # Opened in place of the secret of what there is not.
        self._nobodys = (
            encryption.seal("", NOBODY, {"secret": "", "former": None}) if encryption.newest_key_id else None
        )

    async def prove(self, webhook_id: uuid.UUID, headers: Headers, body: bytes) -> tuple[Webhook, Proof]:
        """Return the webhook that a delivery is for, and what proves it.

        Raises:
            Unauthenticated: There is no such webhook, or the delivery is not proven to come from its sender just now.
        """
        async with self._sessions() as session:
            webhook = await webhooks.find_webhook_of_anybody(session, webhook_id)
        scheme = Scheme.STANDARD if webhook is None else Scheme(webhook.scheme)
        proof = read_proof(scheme, headers)
        if not is_proven(scheme, self._open_secrets(webhook), proof, body, now=time.time()):
            webhook = None
        if webhook is None:
            raise Unauthenticated("There is no such webhook, or the delivery is not signed with its secret")
        return webhook, proof

    def _open_secrets(self, webhook: Webhook | None) -> list[str]:
        """Return the secrets that count. For none as much is done as for one."""
        owner, holder, sealed = "", NOBODY, self._nobodys
        if webhook is not None:
            owner, holder, sealed = webhook.user_id, webhook.id, Sealed(webhook.key_id, webhook.secret)
        if sealed is None:
            return []
        try:
            opened = self._encryption.open(owner, holder, sealed)
        except CredentialsUnreadable as error:
            log.error("webhook_secret_unreadable", webhook_id=str(holder), reason=error.message)
            return []
        if webhook is None:
            return []
        until = webhook.former_secret_until
        is_former_live = opened["former"] is not None and until is not None and until > datetime.now(UTC)
        return [opened["secret"], *([opened["former"]] if is_former_live else [])]
