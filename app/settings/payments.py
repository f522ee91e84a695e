"""Settings that say whether credits can be bought, and for how much."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class PaymentSettings(BaseModel):
    """Credits that are sold."""

    model_config = ConfigDict(populate_by_name=True)

    stripe_api_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_API_KEY")
    """Secret key of the Stripe account that payments go to. Unset: credits cannot be bought."""

    stripe_webhook_secret: SecretStr | None = Field(default=None, validation_alias="STRIPE_WEBHOOK_SECRET")
    """What Stripe signs its notices to `/api/payments/stripe/webhook` with."""

    stripe_api_base: str | None = None
    """Where Stripe is, if not where it always is: a stand-in for tests."""

    public_url: str | None = None
    """Where people reach this deployment, and come back to after a checkout, e.g. https://agents.example.org."""

    credit_price_cents: int = Field(default=1, ge=1, le=500)
    """What a credit costs, in US cents."""

    @field_validator("stripe_api_base", "public_url")
    @classmethod
    def _of_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("must be an http or https URL")
        return url and url.rstrip("/")
