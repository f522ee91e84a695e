"""How everything that Temporal stores for us is encrypted: payloads with AES-256-GCM, under the newest key.

What is encrypted is the whole payload with its own metadata; outside remain the encoding and the key's id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from app.encryption.keys import EncryptionKey
from app.errors import Category, PerdureError, Severity

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
PURPOSE = "temporal payloads"
_NONCE_BYTES = 12


class PayloadUnreadable(PerdureError):
    """What Temporal holds cannot be decrypted."""

    code = "PAYLOAD_UNREADABLE"
    severity = Severity.HIGH
    category = Category.SYSTEM


class PayloadEncryption(PayloadCodec):
    """Encrypts payloads with the newest key and decrypts them with any.

    Payloads that are not encrypted are read as they are, so that encryption can be switched on while executions run.
    """

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """Take the keys, newest first.

        Raises:
            ValueError: There is none.
        """
        if not keys:
            raise ValueError("Encryption needs a key")
        # Made once: setting a cipher up costs as much as encrypting a small payload.
        self._ciphers = {key.id.encode(): AESGCM(key.derive(PURPOSE)) for key in keys}
        self._newest = keys[0].id.encode()

    async def encode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Encrypt payloads."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Decrypt those payloads that are encrypted.

        Raises:
            PayloadUnreadable: One cannot be decrypted; the message names the key that it asks for.
        """
        return [
            self._decrypt(payload) if payload.metadata.get("encoding") == ENCODING else payload
            for payload in payloads
        ]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), _bound(self._newest))
        return Payload(metadata={"encoding": ENCODING, KEY_ID: self._newest}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"")
        # The id comes from outside: only what has the form of one is repeated.
        named = key_id.decode("ascii", "replace") if key_id.isalnum() and len(key_id) <= 64 else "unknown"
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise PayloadUnreadable(
                f"A payload is encrypted with key {named}, which this process does not have"
            )
        try:
            plain = cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], _bound(key_id))
        except (InvalidTag, ValueError):
            raise PayloadUnreadable(f"A payload does not open with its key {named}: it was changed") from None
        return Payload.FromString(plain)


def _bound(key_id: bytes) -> bytes:
    """Return what a ciphertext is bound to besides its key."""
    return ENCODING + b" " + key_id
