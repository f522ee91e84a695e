"""Notifications: telling users what happens to their executions, by webhook or e-mail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import GivenSecretRoute
from app.api.schemas.errors import responses
from app.api.schemas.notifications import (
    DeliveryView,
    NewNotificationView,
    NotificationBody,
    NotificationChangeBody,
    NotificationView,
    RedeliveredView,
)
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.models.notification_events import DeliveryStatus
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=GivenSecretRoute)


@router.post("", status_code=201, responses=responses(404, 409, 413))
async def create_notification(
    body: NotificationBody, caller: CallerDep, api: ResourcesDep
) -> NewNotificationView:
    """Ask to be told of what happens to your executions: at a URL of yours, or by e-mail to your own address.

    A webhook is signed as [Standard Webhooks](https://www.standardwebhooks.com) has it. The answer shows the signing
    secret this once.
    """
    return NewNotificationView.made(*await api.notifications.create(caller, body), caller.email)


@router.get("", responses=responses())
async def list_notifications(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[NotificationView]:
    """List your notifications, newest first."""
    page = await api.notifications.list(caller.user_id, cursor=cursor, limit=limit)
    return PageView(
        items=[NotificationView.of(row, caller.email) for row in page.items], next_cursor=page.next_cursor
    )


@router.get("/{notification_id}", responses=responses(404))
async def get_notification(notification_id: Id, caller: CallerDep, api: ResourcesDep) -> NotificationView:
    """Return a notification."""
    return NotificationView.of(await api.notifications.require(caller.user_id, notification_id), caller.email)


@router.patch("/{notification_id}", responses=responses(404, 413))
async def change_notification(
    notification_id: Id, body: NotificationChangeBody, caller: CallerDep, api: ResourcesDep
) -> NotificationView:
    """Change a notification, or switch it on or off. What is not delivered yet goes where it says then."""
    return NotificationView.of(
        await api.notifications.change(caller.user_id, notification_id, body), caller.email
    )


@router.delete("/{notification_id}", status_code=204, responses=responses(404))
async def delete_notification(notification_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a notification with its deliveries."""
    await api.notifications.delete(caller.user_id, notification_id)
    return Response(status_code=204)


@router.post("/{notification_id}/rotate", responses=responses(404))
async def rotate_notification(
    notification_id: Id, caller: CallerDep, api: ResourcesDep
) -> NewNotificationView:
    """Give a webhook another signing secret, shown this once. For a day, both sign."""
    return NewNotificationView.made(
        *await api.notifications.rotate(caller.user_id, notification_id), caller.email
    )


@router.post("/{notification_id}/test", status_code=202, responses=responses(404))
async def test_notification(notification_id: Id, caller: CallerDep, api: ResourcesDep) -> DeliveryView:
    """Have a `notification.test` delivered."""
    return DeliveryView.of(await api.notifications.try_out(caller.user_id, notification_id))


@router.get("/{notification_id}/deliveries", responses=responses(404))
async def list_notification_deliveries(
    notification_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    status: Annotated[DeliveryStatus | None, Query(description="Only those that stand so.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[DeliveryView]:
    """List what a notification has told or is to tell, newest first. What has ended is kept for 30 days."""
    page = await api.notifications.list_deliveries(
        caller.user_id, notification_id, status=status, cursor=cursor, limit=limit
    )
    return PageView(items=[DeliveryView.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.post("/{notification_id}/redeliver", status_code=202, responses=responses(404))
async def redeliver_failed_notifications(
    notification_id: Id, caller: CallerDep, api: ResourcesDep
) -> RedeliveredView:
    """Have all deliveries of a notification begin anew that were given up, each under its id: up to 10,000 in one call.

    Those that are not begun at once are within a minute or two.
    """
    return RedeliveredView(
        deliveries=await api.notifications.redeliver_failed(caller.user_id, notification_id)
    )


@router.post("/deliveries/{delivery_id}/redeliver", status_code=202, responses=responses(404, 409))
async def redeliver_notification(delivery_id: Id, caller: CallerDep, api: ResourcesDep) -> DeliveryView:
    """Have a delivery that has ended, either way, begin anew under its id."""
    return DeliveryView.of(await api.notifications.redeliver(caller.user_id, delivery_id))
