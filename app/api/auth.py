"""Who a token speaks for. The only module that knows jose; it knows neither database nor HTTP framework.

One algorithm family per deployment: HS256 by a secret, or RS256 and ES256 by a key set. What a token says of its
own algorithm never chooses the key's kind, and encrypted tokens are not read at all.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from jose import jwk, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError
from jose.utils import base64url_decode

from app.errors import BlockError, EngineUnavailable, Unauthenticated
from app.outbound.http import OutboundHttp

MAX_TOKEN_LENGTH = 8_192
MAX_ID_LENGTH = 255
USERS = uuid.UUID("0d6f1c43-60a5-4f0e-8a39-4a5b6b0a8b5e")
"""Namespace of the user ids that are made of e-mail addresses."""
USER, ADMIN = "user", "admin"
ROLES = (USER, ADMIN)
SHARED = "HS256"
ALGORITHM_OF_KEY_TYPE = {"RSA": "RS256", "EC": "ES256"}
KEYS_LIVE_SECONDS = 300.0
KEYS_REST_SECONDS = 10.0
"""An unknown key id has the key set read again, but not more often than this."""
MAX_KEYS_BYTES = 512 * 1024
ISSUED_AHEAD_SECONDS = 60.0
"""Issuers' clocks go ahead a little. A token that says it is of a later moment was not issued in earnest."""
_OPTIONS = {"require_exp": True, "require_sub": True}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    user_id: str
    email: str
    role: str
    scopes: frozenset[str] | None = None
    """What the API key is for; None with a token, which is for everything."""
    api_key_id: uuid.UUID | None = None
    """The API key that was used, if one was."""
    expires_at: float | None = field(default=None, compare=False)
    """When the token expires, in seconds since 1970; of a key its row says so."""
    issued_at: float | None = field(default=None, compare=False)
    """When the token was issued, if it says so. An older one says nothing new of its user."""


class KeySource(Protocol):
    """Where the key of a token is found."""

    async def find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        """Return the key for a token with this header and the one algorithm that the key is for, or None."""


class SecretKey:
    """One shared secret."""

    def __init__(self, secret: str) -> None:
        # Made as a key at once: jose would read a secret that looks like JSON as a key set.
        self._key = jwk.construct(secret, SHARED)

    async def find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        """Return the secret, whatever key the token names."""
        return self._key, SHARED


class KeySet:
    """A published key set, kept for some minutes and read again when a token names a key that is not in it."""

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        """Take where it is published.

        Args:
            url: Of http or https. The operator set it, so its host may be a private one; no redirect is followed.
            timeout_seconds: For one reading, however slowly it comes.
        """
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._http = OutboundHttp(
            allowed_private_hosts=[urlsplit(url).hostname or ""], limit_bytes=MAX_KEYS_BYTES
        )
        self._keys: dict[str, tuple[Key, str]] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        """Return the key that the token names.

        Raises:
            EngineUnavailable: The key set cannot be read and none is known yet.
        """
        name = header.get("kid")
        if not isinstance(name, str):
            return None
        known = self._keys.get(name)
        if known is not None and (self._lock.locked() or not self._is_old):
            # A token of a known key never waits for a reading that somebody else began.
            return known
        async with self._lock:
            rested = time.monotonic() - self._tried_at >= KEYS_REST_SECONDS
            if rested and (self._is_old or name not in self._keys):
                self._tried_at = time.monotonic()
                await self._read()
            if not self._keys:
                raise EngineUnavailable("The key set of tokens cannot be read")
        return self._keys.get(name)

    @property
    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > KEYS_LIVE_SECONDS

    async def _read(self) -> None:
        try:
            response = await self._http.request(
                "GET", self._url, follows_redirects=False, timeout_seconds=self._timeout_seconds
            )
            if response.is_success:
                self._keys = dict(filter(None, map(_read_key, response.json()["keys"])))
                self._read_at = time.monotonic()
        except (BlockError, ValueError, KeyError, TypeError, RecursionError):
            # The keys known so far stay good; a token of an unknown key is refused.
            return


def _read_key(document: Any) -> tuple[str, tuple[Key, str]] | None:
    """Return a published key by its id. Its kind decides the algorithm: a symmetric key is never one of them."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return None
    algorithm = ALGORITHM_OF_KEY_TYPE.get(str(document.get("kty")))
    name = document.get("kid")
    if algorithm is None or not isinstance(name, str) or document.get("alg", algorithm) != algorithm:
        return None
    try:
        return name, (jwk.construct(document, algorithm), algorithm)
    except (JOSEError, ValueError, KeyError, TypeError):
        return None


class TokenReader:
    """Tells who a token speaks for."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway_seconds: int = 0,
    ) -> None:
        """Take what a token must agree with.

        Args:
            keys: Where keys are found.
            issuer: Who must have issued it, if that is fixed.
            audience: Whom it must be meant for. Without one, a token that is meant for somebody is refused.
            leeway_seconds: How far clocks may differ: so much longer, and earlier, a token is valid.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds
        self._options = {
            **_OPTIONS,
            "leeway": leeway_seconds,
            "require_aud": audience is not None,
            "require_iss": issuer is not None,
        }

    async def read(self, token: str) -> Caller:
        """Return the caller that a token speaks for.

        Raises:
            Unauthenticated: It is not a valid token; why is not told.
            EngineUnavailable: The keys cannot be read.
        """
        header = _read_header(token)
        found = await self._keys.find(header)
        if found is None or header.get("alg") != found[1] or "crit" in header:
            raise Unauthenticated
        try:
            claims = jwt.decode(
                token,
                found[0],
                algorithms=[found[1]],
                options=self._options,
                audience=self._audience,
                issuer=self._issuer,
            )
        except (JOSEError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated from error
        if float(claims.get("iat", 0)) > time.time() + self._leeway_seconds + ISSUED_AHEAD_SECONDS:
            raise Unauthenticated
        return _caller(claims)


def issue_token(
    secret: str,
    *,
    email: str,
    role: str = USER,
    lifetime_seconds: int = 86_400,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """Return a token for a user who is named by an e-mail address.

    Args:
        secret: The shared secret of this deployment.
        email: Its lower-cased form decides the user id.
        role: `user` or `admin`.
        lifetime_seconds: How long the token is valid.
        issuer: Who issues it, where tokens must say so.
        audience: Whom it is meant for, where tokens must say so.
    """
    now = int(time.time())
    claims = {
        "sub": str(uuid.uuid5(USERS, email.lower())),
        "email": email,
        "role": role,
        "iat": now,
        "exp": now + lifetime_seconds,
        **({"iss": issuer} if issuer is not None else {}),
        **({"aud": audience} if audience is not None else {}),
    }
    return str(jwt.encode(claims, secret, algorithm=SHARED))


def _read_header(token: str) -> Mapping[str, Any]:
    # Three parts are a signed token; an encrypted one has five.
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii() or token.count(".") != 2:
        raise Unauthenticated
    try:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
        for part in token.split(".")[:2]:
            json.loads(base64url_decode(part.encode()), object_pairs_hook=_without_repeats)
    except (JOSEError, ValueError, RecursionError) as error:
        raise Unauthenticated from error
    return header


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object whose names are each there once: of two claims of a name, readers believe different ones."""
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name stands there twice")
    return read


def _caller(claims: Mapping[str, Any]) -> Caller:
    user_id, email, role = claims.get("sub"), claims.get("email", ""), claims.get("role", USER)
    if not (is_text(user_id) and user_id) or not is_text(email) or role not in ROLES:
        raise Unauthenticated
    issued_at = claims.get("iat")
    return Caller(
        str(user_id),
        str(email),
        str(role),
        expires_at=float(claims["exp"]),
        issued_at=None if issued_at is None else float(issued_at),
    )


def is_text(value: Any) -> bool:
    """Answer whether an id, or an address, may look like this."""
    return isinstance(value, str) and len(value) <= MAX_ID_LENGTH and not _UNPRINTABLE.search(value)
