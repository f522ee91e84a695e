"""What tokens are checked with, and links and tickets signed with."""

from __future__ import annotations

from collections.abc import Sequence

from app.api.auth import KeySet, KeySource, SecretKey, TokenReader
from app.api.config import ApiConfig
from app.api.review_links import LinkSigner
from app.encryption.keys import EncryptionKey


def make_token_reader(config: ApiConfig) -> TokenReader:
    """Return what reads tokens.

    Raises:
        ValueError: The configuration says neither secret nor key set.
    """
    return TokenReader(
        _key_source(config),
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
        leeway_seconds=config.jwt_leeway_seconds,
    )


def _key_source(config: ApiConfig) -> KeySource:
    if config.jwt_jwks_url:
        return KeySet(config.jwt_jwks_url)
    if config.jwt_secret:
        return SecretKey(config.jwt_secret)
    raise ValueError("Tokens need a secret or a key set")


def make_link_signer(config: ApiConfig) -> LinkSigner | None:
    """Return what signs links; None when there is nothing to sign with."""
    keys = signing_keys(config)
    return LinkSigner(keys) if keys else None


def signing_keys(config: ApiConfig) -> Sequence[EncryptionKey]:
    """Return what links and tickets are signed with, newest first; nothing when there is no secret at all."""
    if config.encryption_keys:
        return config.encryption_keys
    return (EncryptionKey(config.jwt_secret.encode()),) if config.jwt_secret else ()
