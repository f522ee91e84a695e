"""Credits that are bought, on the wire."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.services.top_ups import LEAST_CREDITS, MOST_CREDITS, STEP_CREDITS
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payer, Payment

Credits = Annotated[int, Field(strict=True, ge=LEAST_CREDITS, le=MOST_CREDITS, multiple_of=STEP_CREDITS)]


class TopUpBody(BaseModel):
    """Credits to be bought."""

    model_config = ConfigDict(extra="forbid")

    credits: Credits
    save_payment_method: Annotated[bool, Field(strict=True)] = False
    """Whether your way to pay is kept at the payment service, so that credits can be bought by themselves."""


class TopUpView(BaseModel):
    """Credits that are bought."""

    id: uuid.UUID
    credits: int
    amount_cents: int
    """What they cost, in US cents."""
    status: PaymentStatus
    checkout_url: str | None
    """Where a person pays; null when there is nothing to pay."""
    refunded_credits: int
    """Credits that were taken back with the money."""
    is_automatic: bool
    """Whether they were bought by themselves."""
    created_at: datetime
    paid_at: datetime | None

    @classmethod
    def of(cls, payment: Payment) -> TopUpView:
        """Make the view of a payment."""
        is_open = payment.status == PaymentStatus.PENDING
        return cls(
            id=payment.id,
            credits=payment.credits,
            amount_cents=payment.amount_cents,
            status=PaymentStatus(payment.status),
            checkout_url=payment.checkout_url if is_open and payment.checkout_url else None,
            refunded_credits=payment.refunded_credits,
            is_automatic=payment.is_automatic,
            created_at=payment.created_at,
            paid_at=payment.paid_at,
        )


class AutoTopUpBody(BaseModel):
    """When credits are to be bought by themselves."""

    model_config = ConfigDict(extra="forbid")

    threshold: Annotated[int, Field(strict=True, ge=0, le=MOST_CREDITS)] = 0
    """They are bought when fewer than these are left."""
    credits: Annotated[int, Field(strict=True, ge=0, le=MOST_CREDITS, multiple_of=STEP_CREDITS)]
    """How many are bought: 0 for none, else at least 500 and not less than the threshold."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.credits and self.credits < max(LEAST_CREDITS, self.threshold):
            raise ValueError(f"credits must be 0, or at least {LEAST_CREDITS} and the threshold")
        return self


class AutoTopUpView(BaseModel):
    """When credits are bought by themselves."""

    threshold: int
    credits: int
    """How many are bought; 0 for none."""
    has_payment_method: bool
    """Whether you keep a way to pay at the payment service."""

    @classmethod
    def of(cls, payer: Payer | None) -> AutoTopUpView:
        """Make the view of how somebody pays."""
        return cls(
            threshold=payer.threshold if payer else 0,
            credits=payer.credits if payer else 0,
            has_payment_method=bool(payer and payer.customer_ref),
        )
