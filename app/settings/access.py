"""Settings that say who may call, and how what is secret is encrypted."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.encryption.keys import EncryptionKey, parse_encryption_keys
from app.outbound.oauth_providers import OAuthProvider, parse_oauth_providers


class AccessSettings(BaseModel):
    """Callers and secrets."""

    jwt_secret: SecretStr | None = None
    """Secret of HS256 tokens."""

    jwt_jwks_url: str | None = None
    """Key set of RS256 and ES256 tokens, instead of `jwt_secret`."""

    jwt_issuer: str | None = None
    """Issuer that a token must name."""

    jwt_audience: str | None = None
    """Audience that a token must name."""

    jwt_leeway_seconds: int = Field(default=0, ge=0, le=60)
    """How far the clock of whoever issues tokens may differ."""

    encryption_key: SecretStr | None = None
    """Keys for what Temporal stores, each 32 bytes in URL-safe base64: the first encrypts, all decrypt."""

    oauth_providers: SecretStr | None = None
    """JSON of the services that users log in at with OAuth2, by name: `authorize_url`, `token_url`, `client_id`, …"""

    initial_credits: int = Field(default=1000, ge=0)
    """Credits granted to a user on first sight."""

    @field_validator("encryption_key")
    @classmethod
    def _of_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            parse_encryption_keys(keys.get_secret_value())
        return keys

    @field_validator("oauth_providers")
    @classmethod
    def _of_providers(cls, providers: SecretStr | None) -> SecretStr | None:
        if providers is not None:
            parse_oauth_providers(providers.get_secret_value())
        return providers

    @property
    def encryption_keys(self) -> tuple[EncryptionKey, ...]:
        """The encryption keys, newest first; none when none is set."""
        return parse_encryption_keys(self.encryption_key.get_secret_value()) if self.encryption_key else ()

    @property
    def oauth(self) -> dict[str, OAuthProvider]:
        """The services that users log in at, by name."""
        return parse_oauth_providers(self.oauth_providers.get_secret_value()) if self.oauth_providers else {}
