"""API keys on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.api.api_keys import read_network
from app.api.policies import Scope
from app.api.schemas.texts import Name
from app.models.tables.api_keys import ApiKey

MAX_ADDRESSES = 50
MAX_ADDRESS_LENGTH = 50


def _in_future(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


def _network(text: str) -> str:
    try:
        return str(read_network(text))
    except ValueError:
        raise ValueError("must be an IP address or a network in CIDR notation") from None


def _without_repeats(scopes: list[Scope]) -> list[Scope]:
    return sorted(set(scopes))


Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_in_future)]
Scopes = Annotated[
    list[Annotated[Scope, Field(strict=False)]],
    Field(min_length=1, max_length=100),
    AfterValidator(_without_repeats),
]
Addresses = Annotated[
    list[Annotated[str, Field(max_length=MAX_ADDRESS_LENGTH), AfterValidator(_network)]],
    Field(max_length=MAX_ADDRESSES),
]


class ApiKeyBody(BaseModel):
    """A key to make."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Name
    scopes: Scopes
    """What it is for, each by name: there is no word for all of them."""
    expires_at: Moment | None = None
    """When it stops to be valid; never when left out."""
    addresses: Addresses = Field(default_factory=list)
    """IP addresses and networks that it may be used from; any when left out."""


class ApiKeyChangeBody(BaseModel):
    """What is to be other than before; what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Name | None = None
    scopes: Scopes | None = None
    suspended: bool | None = None
    """Whether it is not valid for the time being."""
    expires_at: Moment | None = None
    """Null for never."""
    addresses: Addresses | None = None
    """An empty list for any."""


class ApiKeyView(BaseModel):
    """A key without its secret."""

    id: UUID
    prefix: str
    """How the key begins, after `prd_`."""
    name: str
    scopes: list[str]
    addresses: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""
    suspended: bool

    @classmethod
    def of(cls, row: ApiKey) -> ApiKeyView:
        """Return a key as it goes out."""
        return cls.model_validate(_shown(row))


class NewApiKeyView(ApiKeyView):
    """A key that was just made."""

    key: str | None
    """The key, shown this once. Null in a repeat under an `Idempotency-Key`: rotate it if the first answer was lost."""

    @classmethod
    def made(cls, row: ApiKey, text: str) -> NewApiKeyView:
        """Return a key with its secret."""
        return cls.model_validate({**_shown(row), "key": text})


def _shown(row: ApiKey) -> dict[str, object]:
    names = ApiKeyView.model_fields.keys() - {"suspended"}
    return {**{name: getattr(row, name) for name in names}, "suspended": row.suspended_at is not None}
