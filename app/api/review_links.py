"""Signed links to reviews: whoever has one may answer that one review, until it is answered or the link expires.

A link holds no secret of its own, only a signature: which review, a hash of what is shown there, and until when. The
key is made of the operator's keys for this purpose alone.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.encryption.keys import EncryptionKey
from app.errors import NotFound

PURPOSE = "review links"
_CONTENT = struct.Struct(">16s16s32sQ")
_SIGNATURE_BYTES = 32
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class ReviewLink:
    """What a link says."""

    execution_id: uuid.UUID
    review_id: uuid.UUID
    shown: bytes
    """Hash of what is shown: the link is for nothing else."""
    expires_at: datetime
    """Whole seconds count."""


class LinkSigner:
    """Writes and reads links."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """Take the operator's keys, newest first: links are signed with the first one, and read with any.

        Raises:
            ValueError: There is none.
        """
        if not keys:
            raise ValueError("Links need a key")
        self._keys = [key.derive(PURPOSE) for key in keys]

    def write(self, link: ReviewLink) -> str:
        """Return a link as it stands in an address."""
        content = _CONTENT.pack(
            link.execution_id.bytes, link.review_id.bytes, link.shown, int(link.expires_at.timestamp())
        )
        return _encode(content + _sign(self._keys[0], content))

    def read(self, token: str) -> ReviewLink:
        """Return what a link says.

        Raises:
            NotFound: It is not ours, or has expired; which of them is not told.
        """
        signed = _decode(token)
        content, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        # No early end: how long it takes must not tell which key it nearly was.
        matches = [hmac.compare_digest(_sign(key, content), signature) for key in self._keys]
        if not any(matches):
            raise NotFound
        execution_id, review_id, shown, expires = _CONTENT.unpack(content)
        expires_at = datetime.fromtimestamp(expires, UTC)
        if expires_at <= datetime.now(UTC):
            raise NotFound
        return ReviewLink(uuid.UUID(bytes=execution_id), uuid.UUID(bytes=review_id), shown, expires_at)


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _encode(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).decode("ascii").rstrip("=")


def _decode(token: str) -> bytes:
    if len(token) > _LONGEST:
        raise NotFound
    try:
        signed = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (ValueError, binascii.Error) as error:
        raise NotFound from error
    # One spelling only: what base64 would read in two ways is no link.
    if len(signed) != _CONTENT.size + _SIGNATURE_BYTES or _encode(signed) != token:
        raise NotFound
    return signed
