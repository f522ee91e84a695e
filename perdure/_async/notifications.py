"""Notifications: who is told of what happens to executions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import given, path
from perdure.triggers import NewNotification, Notification, NotificationDelivery

if TYPE_CHECKING:
    from perdure._async.client import AsyncClient


class AsyncNotifications:
    """Your notifications. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self, name: str, events: Sequence[str], *, url: str | None = None, **options: Any
    ) -> NewNotification:
        """Have yourself told of what happens to your executions.

        Args:
            name: What to call it.
            events: What to tell of, such as `execution.failed`.
            url: Where to post it; without one it is an e-mail to your own address.
            options: `graph_id`, `includes_outputs`, `is_active`.
        """
        channel = "email" if url is None else "webhook"
        body = given(name=name, channel=channel, url=url, events=list(events), **options)
        return cast(NewNotification, await self._client.call("POST", path("notifications"), body=body))

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Notification]:
        """Give your notifications, newest first."""
        async for item in self._client.items(path("notifications"), limit=limit):
            yield item

    async def get(self, notification_id: str) -> Notification:
        """Return a notification."""
        return cast(Notification, await self._client.call("GET", path("notifications", notification_id)))

    async def update(self, notification_id: str, **changes: Any) -> Notification:
        """Change what is named; what is left out stays."""
        call = self._client.call("PATCH", path("notifications", notification_id), body=changes)
        return cast(Notification, await call)

    async def delete(self, notification_id: str) -> None:
        """Delete a notification with its deliveries."""
        await self._client.call("DELETE", path("notifications", notification_id))

    async def rotate(self, notification_id: str) -> NewNotification:
        """Give it another signing secret. For a day, both sign."""
        call = self._client.call("POST", path("notifications", notification_id, "rotate"))
        return cast(NewNotification, await call)

    async def test(self, notification_id: str) -> NotificationDelivery:
        """Have a `notification.test` delivered."""
        call = self._client.call("POST", path("notifications", notification_id, "test"))
        return cast(NotificationDelivery, await call)

    async def deliveries(
        self, notification_id: str, *, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[NotificationDelivery]:
        """Give what it has told, newest first; with `status` `failed`, what was given up."""
        place, params = path("notifications", notification_id, "deliveries"), {"status": status}
        async for item in self._client.items(place, params=params, limit=limit):
            yield item

    async def redeliver(self, delivery_id: str) -> NotificationDelivery:
        """Have a delivery that has ended begin anew."""
        call = self._client.call("POST", path("notifications", "deliveries", delivery_id, "redeliver"))
        return cast(NotificationDelivery, await call)
