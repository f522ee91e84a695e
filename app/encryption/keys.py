"""The keys that an operator sets: their form, and how keys for one purpose each are made of them.

Nothing is ever encrypted with such a key itself, so that its uses cannot weaken one another.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_ID_BYTES = 8
_BETWEEN_KEYS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key as it was set."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Name of the key, which tells nothing of it; written beside what is encrypted with it."""
        return self.derive("key id")[:_ID_BYTES].hex()

    def derive(self, purpose: str) -> bytes:
        """Return the key for one purpose: 32 bytes that lead neither back nor to those of another purpose."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"perdure {purpose}".encode()).derive(self.secret)


def parse_encryption_keys(text: str) -> tuple[EncryptionKey, ...]:
    """Read one key or several, separated by commas or blanks.

    Raises:
        ValueError: There is none, or one is not 32 bytes in URL-safe base64; the message does not repeat it.
    """
    parts = [part for part in _BETWEEN_KEYS.split(text) if part]
    if not parts:
        raise ValueError("holds no key")
    return tuple(_parse(part, number) for number, part in enumerate(parts, 1))


def _parse(text: str, number: int) -> EncryptionKey:
    bare = text.rstrip("=")
    try:
        secret = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError(f"key {number} is not {KEY_BYTES} bytes in URL-safe base64")
    return EncryptionKey(secret)
