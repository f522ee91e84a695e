"""Where a webhook goes and what signs it: kept sealed together, since a URL may be as secret as a password."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from standardwebhooks import Webhook

from app.errors import BlockInputInvalid

SECRET_BYTES = 32
SHORTEST_SECRET = 10
"""Shorter pieces of a path are words."""
OVERLAP = timedelta(hours=24)
"""How long a secret still signs after another one has been made."""
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """A URL, and the secrets that sign what is sent there."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    former: str | None = field(default=None, repr=False)
    former_until: datetime | None = None

    @classmethod
    def of(cls, opened: dict[str, Any]) -> WebhookTarget:
        """Return what was sealed."""
        until = opened.get("former_until")
        return cls(
            opened["url"],
            opened["secret"],
            opened.get("former"),
            datetime.fromisoformat(until) if until else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what is to be sealed."""
        until = self.former_until.isoformat() if self.former_until else None
        return {"url": self.url, "secret": self.secret, "former": self.former, "former_until": until}

    def rotated(self) -> WebhookTarget:
        """Return it with another secret; the one before signs a while longer."""
        return replace(
            self, secret=make_secret(), former=self.secret, former_until=datetime.now(UTC) + OVERLAP
        )

    @property
    def secrets(self) -> list[str]:
        """Return the secrets that sign now, the newest first."""
        if self.former is None or self.former_until is None or self.former_until <= datetime.now(UTC):
            return [self.secret]
        return [self.secret, self.former]

    def sign(self, message_id: str, at: datetime, body: str) -> dict[str, str]:
        """Return the headers of Standard Webhooks for a message.

        Args:
            message_id: The same for every attempt.
            at: When this attempt is made.
            body: What is sent.
        """
        signatures = [Webhook(secret).sign(message_id, at, body) for secret in self.secrets]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def make_secret() -> str:
    """Return a new signing secret."""
    return _PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def check_url(url: str, allowed_private_hosts: Collection[str]) -> SplitResult:
    """Return a URL that a webhook may go to, in parts. Where its host leads is looked at when it is called.

    Args:
        url: As it was given.
        allowed_private_hosts: Hosts, or `host:port`, that may be called without encryption.

    Raises:
        BlockInputInvalid: It is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BlockInputInvalid("The URL is not valid") from None
    if parts.scheme not in ("https", "http") or not host:
        raise BlockInputInvalid("The URL has to begin with https:// and a host name")
    if parts.username is not None or parts.password is not None:
        raise BlockInputInvalid("The URL may not hold a user name or password")
    named = {host, f"{host}:{port or 80}"}
    if parts.scheme == "http" and named.isdisjoint(map(str.lower, allowed_private_hosts)):
        raise BlockInputInvalid("The URL has to begin with https://")
    return parts


def shown(url: str) -> str:
    """Return what may be shown of a URL: what follows its host may be a secret."""
    parts = urlsplit(url)
    more = parts.path.strip("/") or parts.query
    return f"{parts.scheme}://{parts.netloc}/{'…' if more else ''}"


def secret_parts(url: str) -> list[str]:
    """Return what may be secret in a URL."""
    parts = urlsplit(url)
    values = [value for pair in parts.query.split("&") for value in pair.split("=")[1:]]
    pieces = [piece for piece in (*parts.path.split("/"), *values) if len(piece) >= SHORTEST_SECRET]
    return [url, parts.path, parts.query, *pieces]
