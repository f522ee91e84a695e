"""Tokens and keys made by hand, so that nothing stops us from making bad ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose.backends.base import Key

SECRET = "a-secret-that-is-long-enough-to-be-one"
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def public_pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": "u1", "email": "a@b.c", "role": "user", "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in given.items() if value is not None}


def signed(given: Mapping[str, Any], **header: Any) -> str:
    """Return a token made by hand, so that nothing stops us from making a bad one."""
    return signed_texts(json.dumps({"alg": "HS256", "typ": "JWT", **header}), json.dumps(given))


def signed_texts(*texts: str) -> str:
    """Return a token of a header and claims that are JSON, or not quite."""
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in texts]
    signature = hmac.new(SECRET.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


class FixedKeys:
    """A key set that is given at once."""

    def __init__(self, **keys: tuple[Key, str]) -> None:
        self._keys = keys

    async def find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        return self._keys.get(str(header.get("kid")))
