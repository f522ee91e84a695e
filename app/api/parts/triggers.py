"""What executions are started by, or with, beside calls: put together."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.services.presets import Presets
from app.api.services.webhooks import Webhooks
from app.api.webhooks.receiving import WebhookReceiving


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """What starts executions, or is started with."""

    presets: Presets
    webhooks: Webhooks
    receiving: WebhookReceiving
    public_url: str | None
    """Where people reach the API; None when nobody has said."""
