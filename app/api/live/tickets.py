"""Tickets to streams, for browsers, which cannot send a token along when they open one: signed, short-lived, read-only.

A ticket holds no secret of its own, only a signature: whose it is, which channel it is for, until when it lets in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from app.api.auth import USER, Caller
from app.api.live.channels import Channel
from app.api.policies import Scope
from app.encryption.keys import EncryptionKey
from app.errors import Forbidden, Unauthenticated

PURPOSE = "stream tickets"
LIFETIME_SECONDS = 60
READ_ONLY = frozenset({Scope.EXECUTIONS_READ.value})
_SIGNATURE_BYTES = 32
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says."""

    caller: Caller
    """Who has taken it, with no more rights than it gives."""
    channel: Channel
    """What it is for."""
    expires_at: float
    """Until when it lets in, in seconds since 1970."""


class TicketSigner:
    """Writes and reads tickets."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """Take the operator's keys, newest first: tickets are signed with the first one, and read with any."""
        self._keys = [key.derive(PURPOSE) for key in keys]

    def write(self, caller: Caller, channel: Channel) -> tuple[str, float]:
        """Return a ticket and when it expires.

        Args:
            caller: Who takes it: what it opens ends when they would not be let in any more.
            channel: What it is for.

        Raises:
            Forbidden: This deployment has nothing to sign tickets with.
        """
        if not self._keys:
            raise Forbidden("There are no tickets: the server has no encryption key")
        expires_at = float(int(time.time()) + LIFETIME_SECONDS)
        key_id = str(caller.api_key_id) if caller.api_key_id else None
        said = [caller.user_id, key_id, caller.expires_at, str(channel), expires_at]
        content = json.dumps(said, separators=(",", ":")).encode()
        return _encode(hmac.digest(self._keys[0], content, "sha256") + content), expires_at

    def read(self, text: str) -> Ticket:
        """Return what a ticket says.

        Raises:
            Unauthenticated: It is not ours, or has expired.
        """
        signed = _decode(text)
        signature, content = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        # No early end: how long it takes must not tell which key it nearly was.
        matches = [hmac.compare_digest(hmac.digest(key, content, "sha256"), signature) for key in self._keys]
        if not any(matches):
            raise Unauthenticated
        user_id, key_id, valid_until, channel, expires_at = json.loads(content)
        if expires_at <= time.time():
            raise Unauthenticated
        caller = Caller(
            user_id,
            "",
            USER,
            scopes=READ_ONLY,
            api_key_id=uuid.UUID(key_id) if key_id else None,
            expires_at=valid_until,
        )
        return Ticket(caller, Channel.parse(channel), expires_at)


def _encode(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    if len(text) > _LONGEST:
        raise Unauthenticated
    try:
        signed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise Unauthenticated from error
    # One spelling only: what base64 would read in two ways is no ticket.
    if _encode(signed) != text:
        raise Unauthenticated
    return signed
