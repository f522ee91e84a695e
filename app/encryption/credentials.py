"""How the secrets of credentials are kept: with AES-256-GCM, under a key of their owner's own.

What is sealed is bound to its owner and to the credentials it belongs to: a row copied to somebody else, or to other
credentials, does not open. The newest key seals, all of them open.
"""

from __future__ import annotations

import hmac
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.encryption.keys import EncryptionKey
from app.errors import Category, PerdureError, Severity

PURPOSE = "credentials of"
_NONCE_BYTES = 12
_CIPHERS_KEPT = 4_096


class CredentialsUnreadable(PerdureError):
    """The credentials do not open with any key of this server."""

    code = "CREDENTIALS_UNREADABLE"
    severity = Severity.HIGH
    category = Category.SYSTEM


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it is kept."""

    key_id: str
    """Of the key that it was sealed under."""
    content: bytes = field(repr=False)


class CredentialsEncryption:
    """Seals secrets with the newest key and opens them with any."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """Take the keys, newest first. Without any, nothing can be sealed or opened."""
        self._keys = {key.id: key for key in keys}
        self._newest = keys[0].id if keys else ""
        # A key for one owner costs two hashes to make, more than opening a secret with it.
        self._cipher = lru_cache(maxsize=_CIPHERS_KEPT)(self._make_cipher)

    @property
    def newest_key_id(self) -> str:
        """Return the name of the key that seals; empty when there is none."""
        return self._newest

    def is_current(self, sealed: Sealed) -> bool:
        """Answer whether a secret is sealed under the newest key."""
        return sealed.key_id == self._newest

    def seal(self, owner: str, credentials_id: uuid.UUID, secret: Mapping[str, Any]) -> Sealed:
        """Return a secret as it is kept.

        Args:
            owner: Whose it is.
            credentials_id: What it belongs to.
            secret: JSON values by name.

        Raises:
            CredentialsUnreadable: There is no key.
        """
        if not self._newest:
            raise CredentialsUnreadable("This server has no encryption key, so it keeps no credentials")
        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps(secret).encode("ascii")
        bound = _bound(owner, credentials_id, self._newest)
        return Sealed(self._newest, nonce + self._cipher(self._newest, owner).encrypt(nonce, text, bound))

    def open(self, owner: str, credentials_id: uuid.UUID, sealed: Sealed) -> dict[str, Any]:
        """Return a secret.

        Raises:
            CredentialsUnreadable: It is of another owner or of other credentials, was changed, or its key is gone.
        """
        if sealed.key_id not in self._keys:
            raise CredentialsUnreadable(
                "The credentials are encrypted with a key that this server does not have"
            )
        content, bound = sealed.content, _bound(owner, credentials_id, sealed.key_id)
        try:
            text = self._cipher(sealed.key_id, owner).decrypt(
                content[:_NONCE_BYTES], content[_NONCE_BYTES:], bound
            )
        except (InvalidTag, ValueError):
            raise CredentialsUnreadable(
                "The credentials do not open with their key: they were changed"
            ) from None
        secret: dict[str, Any] = json.loads(text)
        return secret

    def blind(self, text: str) -> str:
        """Return a hash that nobody can compute without the newest key. It changes when the key does."""
        key = self._keys[self._newest].derive("credential fingerprints") if self._newest else b""
        return hmac.new(key, text.encode(), "sha256").hexdigest()

    def _make_cipher(self, key_id: str, owner: str) -> AESGCM:
        return AESGCM(self._keys[key_id].derive(f"{PURPOSE} {owner}"))


def _bound(owner: str, credentials_id: uuid.UUID, key_id: str) -> bytes:
    """Return what a ciphertext is bound to besides its key."""
    return json.dumps([PURPOSE, owner, str(credentials_id), key_id]).encode("ascii")
