"""Settings of the edge towards the internet: how much one caller may ask for, and whom the API believes."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.proxies import TrustedProxies
from app.web_origins import parse_origins

OFF = "off"
_RATE = re.compile(r"[1-9]\d{0,8}/(?:second|minute|hour|day)")


class EdgeSettings(BaseModel):
    """Limits and proxies."""

    rate_limit: str = "6000/minute"
    """Requests of one user, with whatever keys, and of one address without a user; `off` for any number."""

    start_rate_limit: str = "1200/minute"
    """Calls of one user that start executions; `off` for any number."""

    address_rate_limit: str = "60000/minute"
    """Requests from one address, of all its users, to one API process; `off` for any number."""

    redis_url: SecretStr | None = None
    """Redis for rate limits shared by several API processes."""

    trusted_proxies: str = ""
    """How many proxies stand in front, or their networks: only their `X-Forwarded-For` is believed."""

    cors_origins: str = ""
    """Origins of the pages that may call the API from a browser, exactly as sent, with commas."""

    https: bool = False
    """People reach the API by https alone: browsers are told to keep to that."""

    streams_per_user: int = Field(default=100, ge=1, le=100_000)
    """Event streams that a user has open at once at one API process."""

    @field_validator("rate_limit", "start_rate_limit", "address_rate_limit")
    @classmethod
    def _of_limits(cls, text: str) -> str:
        if text != OFF and not _RATE.fullmatch(text):
            raise ValueError("must be a number, a slash and second, minute, hour or day; or `off`")
        return text

    @field_validator("redis_url")
    @classmethod
    def _of_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("must be a redis:// or rediss:// URL")
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _of_proxies(cls, text: str) -> str:
        TrustedProxies.parse(text)
        return text

    @field_validator("cors_origins")
    @classmethod
    def _of_origins(cls, text: str) -> str:
        parse_origins(text)
        return text
