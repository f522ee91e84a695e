# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""Notifications: who is told of what happens to executions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import given, path
from perdure.triggers import NewNotification, Notification, NotificationDelivery

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Notifications:
    """Your notifications. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
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
        return cast(NewNotification, self._client.call("POST", path("notifications"), body=body))

    def list(self, *, limit: int | None = None) -> Iterator[Notification]:
        """Give your notifications, newest first."""
        for item in self._client.items(path("notifications"), limit=limit):
            yield item

    def get(self, notification_id: str) -> Notification:
        """Return a notification."""
        return cast(Notification, self._client.call("GET", path("notifications", notification_id)))

    def update(self, notification_id: str, **changes: Any) -> Notification:
        """Change what is named; what is left out stays."""
        call = self._client.call("PATCH", path("notifications", notification_id), body=changes)
        return cast(Notification, call)

    def delete(self, notification_id: str) -> None:
        """Delete a notification with its deliveries."""
        self._client.call("DELETE", path("notifications", notification_id))

    def rotate(self, notification_id: str) -> NewNotification:
        """Give it another signing secret. For a day, both sign."""
        call = self._client.call("POST", path("notifications", notification_id, "rotate"))
        return cast(NewNotification, call)

    def test(self, notification_id: str) -> NotificationDelivery:
        """Have a `notification.test` delivered."""
        call = self._client.call("POST", path("notifications", notification_id, "test"))
        return cast(NotificationDelivery, call)

    def deliveries(
        self, notification_id: str, *, status: str | None = None, limit: int | None = None
    ) -> Iterator[NotificationDelivery]:
        """Give what it has told, newest first; with `status` `failed`, what was given up."""
        place, params = path("notifications", notification_id, "deliveries"), {"status": status}
        for item in self._client.items(place, params=params, limit=limit):
            yield item

    def redeliver(self, delivery_id: str) -> NotificationDelivery:
        """Have a delivery that has ended begin anew."""
        call = self._client.call("POST", path("notifications", "deliveries", delivery_id, "redeliver"))
        return cast(NotificationDelivery, call)
