"""Credentials on the wire. Secrets come in and never go out, in errors neither."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.api.schemas.texts import Name
from app.graph.credentials import CredentialsType
from app.models.tables.credentials import StoredCredentials

MAX_SECRET_LENGTH = 16_384
MAX_HEADERS = 20
MAX_HEADER_LENGTH = 8_192
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")
_HOST = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$"


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        text = value.get_secret_value()
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("has a header whose name HTTP does not allow")
        if len(text) > MAX_HEADER_LENGTH or not _HEADER_VALUE.fullmatch(text):
            raise ValueError("has a header whose value is too long or not allowed in HTTP")
    return headers


Provider = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=MAX_SECRET_LENGTH)]
Username = Annotated[str, Field(min_length=1, max_length=500)]
Host = Annotated[str, Field(max_length=260, pattern=_HOST), AfterValidator(str.lower)]
Headers = Annotated[
    dict[str, SecretStr], Field(min_length=1, max_length=MAX_HEADERS), AfterValidator(_headers)
]
Scopes = Annotated[list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=100)]

FIELDS: Mapping[CredentialsType, tuple[frozenset[str], frozenset[str]]] = {
    CredentialsType.API_KEY: (frozenset({"api_key"}), frozenset({"expires_at"})),
    CredentialsType.USER_PASSWORD: (frozenset({"username", "password"}), frozenset()),
    CredentialsType.OAUTH2: (
        frozenset({"access_token"}),
        frozenset({"refresh_token", "expires_at", "scopes", "username"}),
    ),
    CredentialsType.HOST_SCOPED: (frozenset({"host", "headers"}), frozenset()),
}
"""The fields that a type needs, and those that it may have."""
SECRETS = ("api_key", "password", "access_token", "refresh_token", "headers")


class SecretBody(BaseModel):
    """What somebody proves with who they are. Which fields there are depends on the type."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    api_key: Secret | None = None
    """Of `api_key`."""
    username: Username | None = None
    """Of `user_password`; shown. Also what an account is called, of `oauth2`."""
    password: Secret | None = None
    """Of `user_password`."""
    access_token: Secret | None = None
    """Of `oauth2`."""
    refresh_token: Secret | None = None
    """Of `oauth2`: what the access token is renewed with, if the server knows the provider."""
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When the access token or the key stops to be valid."""
    scopes: Scopes | None = None
    """What the token allows, in the provider's words."""
    host: Host | None = None
    """Of `host_scoped`; shown. A host, `host:port`, or `*.name` for all below a name."""
    headers: Headers | None = None
    """Of `host_scoped`: sent to that host and to no other."""

    def given(self) -> set[str]:
        """Return the names of the fields that have a value."""
        names = set(SecretBody.model_fields)
        return {name for name in names & self.model_fields_set if getattr(self, name) is not None}

    def secret(self) -> dict[str, Any]:
        """Return what is to be sealed, by name."""
        secret: dict[str, Any] = {}
        for name in SECRETS:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                secret[name] = value.get_secret_value()
            elif value is not None:
                secret[name] = {key: text.get_secret_value() for key, text in value.items()}
        return secret


class CredentialsBody(SecretBody):
    """Credentials to keep."""

    provider: Provider
    """The service that they are for, e.g. `openai`; `http` for headers of any host."""
    type: Annotated[CredentialsType, Field(strict=False)]
    title: Name | None = None
    """What people call them; the provider's name when left out."""

    @model_validator(mode="after")
    def _fits_its_type(self) -> CredentialsBody:
        needed, allowed = FIELDS[self.type]
        given = self.given()
        if needed - given:
            raise ValueError(f"credentials of this type need {', '.join(sorted(needed - given))}")
        if given - needed - allowed:
            raise ValueError(
                f"credentials of this type have no {', '.join(sorted(given - needed - allowed))}"
            )
        return self


class CredentialsChangeBody(SecretBody):
    """What is to be other than before: the title, or the secret. Provider and type stay."""

    title: Name | None = None


class CredentialsView(BaseModel):
    """Credentials without their secret."""

    id: UUID
    provider: str
    type: CredentialsType
    title: str
    username: str | None
    host: str | None
    scopes: list[str]
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    """To the minute."""

    @classmethod
    def of(cls, stored: StoredCredentials) -> CredentialsView:
        """Return credentials as they go out."""
        return cls.model_validate({name: getattr(stored, name) for name in cls.model_fields})


class LoginView(BaseModel):
    """Where to log in."""

    login_url: str
    """To be opened in a browser, which comes back with `code` and `state`."""
    state: str
    """Belongs to this login, is taken back once, for ten minutes."""


class CallbackBody(BaseModel):
    """What a browser has come back with from a login."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    code: Annotated[SecretStr, Field(min_length=1, max_length=4_096)]
    state: Annotated[SecretStr, Field(min_length=1, max_length=4_096)]
    title: Name | None = None
    """What to call the new credentials."""


class ReencryptionView(BaseModel):
    """What became of the secrets that were encrypted with an older key."""

    reencrypted: int
    unreadable: int
    """Of a key that is no longer set, or damaged."""
