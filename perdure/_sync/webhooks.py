# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""Inbound webhooks: addresses at which others start executions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import given, path
from perdure.triggers import NewWebhook, Webhook, WebhookDelivery

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Webhooks:
    """Your inbound webhooks. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, graph_id: str | None, name: str, scheme: str, **options: Any) -> NewWebhook:
        """Make an address at which whoever knows its secret starts executions.

        Args:
            graph_id: What is executed; None for the graph of a preset.
            name: What to call it.
            scheme: How senders prove who they are: `standard`, `github`, `stripe`, `slack` or `token`.
            options: `preset_id`, `secret`, `input`, `body_type`, `events`, `budget`, `allows_wait`, …
        """
        body = given(graph_id=graph_id, name=name, scheme=scheme, **options)
        return cast(NewWebhook, self._client.call("POST", path("webhooks"), body=body))

    def list(self, *, graph_id: str | None = None, limit: int | None = None) -> Iterator[Webhook]:
        """Give your webhooks without their secrets, newest first."""
        for item in self._client.items(path("webhooks"), params={"graph_id": graph_id}, limit=limit):
            yield item

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook without its secret."""
        return cast(Webhook, self._client.call("GET", path("webhooks", webhook_id)))

    def update(self, webhook_id: str, **changes: Any) -> Webhook:
        """Change what is named; what is left out stays."""
        return cast(Webhook, self._client.call("PATCH", path("webhooks", webhook_id), body=changes))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook. What it has started stays."""
        self._client.call("DELETE", path("webhooks", webhook_id))

    def rotate(
        self, webhook_id: str, *, secret: str | None = None, former_valid_seconds: int | None = None
    ) -> NewWebhook:
        """Give it another secret.

        Args:
            webhook_id: The webhook.
            secret: One that the sender has made; one is made when left out.
            former_valid_seconds: How long the secret before it counts too: a day when left out.
        """
        body = given(secret=secret, former_valid_seconds=former_valid_seconds)
        call = self._client.call("POST", path("webhooks", webhook_id, "rotate"), body=body)
        return cast(NewWebhook, call)

    def deliveries(self, webhook_id: str, *, limit: int | None = None) -> Iterator[WebhookDelivery]:
        """Give what has come in, and what came of it, newest first."""
        for item in self._client.items(path("webhooks", webhook_id, "deliveries"), limit=limit):
            yield item
