"""How senders prove that a delivery is theirs: which headers each scheme has, and what they sign. Knows no webhook.

Nothing here ends early: whether there is such a webhook, and which part of a proof is wrong, is not to be told by time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from starlette.datastructures import Headers

TOLERANCE_SECONDS = 300
"""How far the moment that a sender names may lie in the past, or in the future."""
STANDARD_PREFIX = "whsec_"
SECRET_BYTES = 32
MOST_SIGNATURES = 10
"""While a sender changes its secret there are two."""
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_MOMENT = re.compile(r"[0-9]{1,12}")
_STANDARD_KEY_BYTES = range(24, 65)
_LIVE_SECRETS = 2
_NO_SECRET = "no secret of anybody"  # noqa: S105 - what is computed with it is thrown away


class Scheme(StrEnum):
    """How a sender proves who it is."""

    STANDARD = "standard"
    """Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`."""
    GITHUB = "github"
    """`X-Hub-Signature-256`, `X-GitHub-Delivery`, `X-GitHub-Event`; without a moment."""
    STRIPE = "stripe"
    """`Stripe-Signature`."""
    SLACK = "slack"
    """`X-Slack-Signature`, `X-Slack-Request-Timestamp`."""
    TOKEN = "token"  # noqa: S105 - the name of a scheme
    """The secret itself, as `Authorization: Bearer` or `X-Webhook-Token`; nothing is signed."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a delivery shows. One that is not of its scheme's form has no signature."""

    prefix: bytes = b""
    """What is signed before the body."""
    signatures: tuple[bytes, ...] = ()
    """One of them has to be right. Of a token: the token."""
    sent_at: int | None = None
    """Seconds since the epoch; None where the scheme says nothing of it."""
    delivery_id: str = ""
    """Empty where the headers name none."""


def make_secret(scheme: Scheme) -> str:
    """Return a new secret in the form that senders of a scheme take."""
    if scheme is Scheme.STANDARD:
        return STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    return secrets.token_urlsafe(SECRET_BYTES)


def check_secret(scheme: Scheme, secret: str) -> None:
    """Check the form of a secret that a sender has made.

    Raises:
        ValueError: Senders of the scheme have none like that.
    """
    if not (secret.isascii() and secret.isprintable()):
        raise ValueError("must have printable ASCII characters only")
    if scheme is not Scheme.STANDARD:
        return
    try:
        key = base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(STANDARD_PREFIX) or len(key) not in _STANDARD_KEY_BYTES:
        raise ValueError("must be whsec_ and 24 to 64 bytes in base64")


def read_proof(scheme: Scheme, headers: Headers) -> Proof:
    """Return what a delivery shows to prove who sent it."""
    return _READERS[scheme](headers)


def is_proven(scheme: Scheme, live: Sequence[str], proof: Proof, body: bytes, *, now: float) -> bool:
    """Answer whether a delivery is by whoever knows a secret, and was sent just now.

    Args:
        scheme: How it is proven.
        live: The secrets that count, two at most; none is proven with none.
        proof: What it shows.
        body: As it came.
        now: Seconds since the epoch.
    """
    is_known = False
    # As many times as there may be secrets, with or without: a second one does not show either.
    for secret, _ in zip_longest(live, range(_LIVE_SECRETS), fillvalue=None):
        key = _key_of(scheme, _NO_SECRET if secret is None else secret)
        signed = hmac.new(key, proof.prefix, hashlib.sha256)
        signed.update(body)
        expected = key if scheme is Scheme.TOKEN else signed.digest()
        matches = [hmac.compare_digest(expected, signature) for signature in proof.signatures]
        is_known |= secret is not None and any(matches)
    is_timely = proof.sent_at is None or abs(now - proof.sent_at) <= TOLERANCE_SECONDS
    return is_known and is_timely


def _key_of(scheme: Scheme, secret: str) -> bytes:
    if scheme is Scheme.STANDARD and secret.startswith(STANDARD_PREFIX):
        return base64.b64decode(secret.removeprefix(STANDARD_PREFIX))
    return secret.encode()


def _one(headers: Headers, name: str) -> str:
    """Return a header; empty when it is not there exactly once, since two readers would take two of them for two."""
    values = headers.getlist(name)
    return values[0].strip() if len(values) == 1 else ""


def _read_standard(headers: Headers) -> Proof:
    delivery_id, moment = _one(headers, "webhook-id"), _one(headers, "webhook-timestamp")
    # A dot in the id would let the borders between what is signed be drawn elsewhere.
    if not _ID.fullmatch(delivery_id) or "." in delivery_id or not _MOMENT.fullmatch(moment):
        return Proof()
    given = [part.partition(",") for part in _one(headers, "webhook-signature").split()[:MOST_SIGNATURES]]
    signatures = [_from_base64(text) for version, _, text in given if version == "v1"]
    prefix = f"{delivery_id}.{moment}.".encode("ascii")
    return Proof(prefix, tuple(filter(None, signatures)), int(moment), delivery_id)


def _read_github(headers: Headers) -> Proof:
    delivery_id = _one(headers, "x-github-delivery")
    kind, _, text = _one(headers, "x-hub-signature-256").partition("=")
    signature = _from_hex(text)
    if kind != "sha256" or not signature or not _ID.fullmatch(delivery_id):
        return Proof()
    return Proof(signatures=(signature,), delivery_id=delivery_id)


def _read_stripe(headers: Headers) -> Proof:
    parts = [part.strip().partition("=") for part in _one(headers, "stripe-signature").split(",")]
    moments = [text for name, _, text in parts if name == "t"]
    if len(moments) != 1 or not _MOMENT.fullmatch(moments[0]):
        return Proof()
    given = [_from_hex(text) for name, _, text in parts[: MOST_SIGNATURES + 1] if name == "v1"]
    return Proof(f"{moments[0]}.".encode("ascii"), tuple(filter(None, given)), int(moments[0]))


def _read_slack(headers: Headers) -> Proof:
    moment = _one(headers, "x-slack-request-timestamp")
    version, _, text = _one(headers, "x-slack-signature").partition("=")
    signature = _from_hex(text)
    if version != "v0" or not signature or not _MOMENT.fullmatch(moment):
        return Proof()
    return Proof(f"v0:{moment}:".encode("ascii"), (signature,), int(moment))


def _read_token(headers: Headers) -> Proof:
    scheme, _, bearer = _one(headers, "authorization").partition(" ")
    bearer = bearer.strip() if scheme.lower() == "bearer" else ""
    given = [token for token in (bearer, _one(headers, "x-webhook-token")) if token]
    delivery_id = _one(headers, "idempotency-key")
    if len(given) != 1 or (headers.getlist("idempotency-key") and not _ID.fullmatch(delivery_id)):
        return Proof()
    return Proof(signatures=(given[0].encode(),), delivery_id=delivery_id)


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]{64}", text) else b""


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return b""


_READERS: Mapping[Scheme, Callable[[Headers], Proof]] = {
    Scheme.STANDARD: _read_standard,
    Scheme.GITHUB: _read_github,
    Scheme.STRIPE: _read_stripe,
    Scheme.SLACK: _read_slack,
    Scheme.TOKEN: _read_token,
}
