"""Payloads for people: what Temporal's Web UI shows is decrypted here, what is typed into it is encrypted."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import structlog
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from app.encryption.keys import EncryptionKey
from app.encryption.payloads import PayloadEncryption, PayloadUnreadable
from app.errors import InvalidRequest, NotFound

log = structlog.get_logger(__name__)


class Codec:
    """Speaks the protocol of Temporal's remote codecs: `Payloads` in the JSON of protocol buffers, in and out."""

    def __init__(self, keys: Sequence[EncryptionKey], *, capability: str | None) -> None:
        """Take the keys and who else may use them.

        Args:
            keys: Newest first; without one nothing is encrypted here, and there is nothing to decrypt.
            capability: A secret part of the path that stands for a token, where the Web UI has none to send.
        """
        self._encryption = PayloadEncryption(keys) if keys else None
        self._capability = capability

    def require_capability(self, given: str) -> None:
        """Check the secret part of a path.

        Raises:
            NotFound: It is not ours.
        """
        ours = (self._capability or "").encode()
        if not ours or not hmac.compare_digest(ours, given.encode("utf-8", "replace")):
            raise NotFound

    async def encrypt(self, payloads: list[Any]) -> list[Any]:
        """Encrypt payloads.

        Raises:
            InvalidRequest: They are not of the form of payloads.
            NotFound: There is no key.
        """
        given = _parse(payloads)
        return _write(await self._require_encryption().encode(given))

    async def decrypt(self, payloads: list[Any]) -> list[Any]:
        """Decrypt payloads. One that cannot be stays as it is, so that the others of its page are seen.

        Raises:
            InvalidRequest: They are not of the form of payloads.
            NotFound: There is no key.
        """
        encryption = self._require_encryption()
        return _write([await _decrypt(encryption, payload) for payload in _parse(payloads)])

    def _require_encryption(self) -> PayloadEncryption:
        if self._encryption is None:
            raise NotFound
        return self._encryption


async def _decrypt(encryption: PayloadEncryption, payload: Payload) -> Payload:
    try:
        return (await encryption.decode([payload]))[0]
    except PayloadUnreadable as error:
        log.warning("payload_unreadable", reason=error.message)
        return payload


def _parse(payloads: list[Any]) -> Sequence[Payload]:
    try:
        return ParseDict({"payloads": payloads}, Payloads(), ignore_unknown_fields=True).payloads
    except (ParseError, ValueError, TypeError) as error:
        raise InvalidRequest("These are not payloads of Temporal in JSON") from error


def _write(payloads: Sequence[Payload]) -> list[Any]:
    written: list[Any] = MessageToDict(Payloads(payloads=payloads)).get("payloads", [])
    return written
