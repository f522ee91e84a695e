"""`perdure notifications`: being told of what happens to executions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.given import Limit, find_graph
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, rest_of

if TYPE_CHECKING:
    from perdure.triggers import Notification, NotificationDelivery

notifications = typer.Typer(help="Being told of what happens to your executions.", no_args_is_help=True)

NotificationId = Annotated[str, typer.Argument(metavar="ID", help="A notification.")]
Url = Annotated[str | None, typer.Option(help="Where to post it.")]
Graph = Annotated[
    str | None, typer.Option("--graph", metavar="GRAPH", help="Of the executions of this graph alone.")
]
WithOutputs = Annotated[
    bool | None, typer.Option("--outputs/--no-outputs", help="Whether the end is told with what came out.")
]
EVENT = typer.Option("--event", metavar="EVENT", help="What to tell of, e.g. execution.failed; repeatable.")


@command(notifications, "list")
def list_notifications(shell: Shell, limit: Limit = 50) -> None:
    """List your notifications, newest first."""
    with shell.api() as api:
        found = list(api.notifications.list(limit=limit))
    shell.answer(found, in_columns(map(_row_of, found)))


@command(notifications, "get")
def get_notification(shell: Shell, notification_id: NotificationId) -> None:
    """Show one notification, without its secret."""
    with shell.api() as api:
        notification = api.notifications.get(notification_id)
    shell.answer(notification, _described(notification))


@command(notifications, "create")
def create_notification(
    shell: Shell,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    events: Annotated[list[str], EVENT],
    url: Url = None,
    graph: Graph = None,
    includes_outputs: WithOutputs = None,
) -> None:
    """Have yourself told: at an URL, or without one by e-mail. Print the signing secret this once."""
    with shell.api() as api:
        notification = api.notifications.create(
            name,
            events,
            url=url,
            graph_id=None if graph is None else find_graph(api, graph),
            includes_outputs=includes_outputs,
        )
    shell.answer(notification, _described(notification))


@command(notifications, "update")
def update_notification(
    shell: Shell,
    notification_id: NotificationId,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    events: Annotated[list[str] | None, EVENT] = None,
    url: Url = None,
    graph: Graph = None,
    includes_outputs: WithOutputs = None,
    is_active: Annotated[bool | None, typer.Option("--on/--off", help="Whether it tells anything.")] = None,
) -> None:
    """Change a notification; what is left out stays. Events are replaced as a whole."""
    with shell.api() as api:
        named: dict[str, Any] = {
            "name": name,
            "events": events or None,
            "url": url,
            "graph_id": None if graph is None else find_graph(api, graph),
            "includes_outputs": includes_outputs,
            "is_active": is_active,
        }
        changes = {key: value for key, value in named.items() if value is not None}
        notification = api.notifications.update(notification_id, **changes)
    shell.answer(notification, _described(notification))


@command(notifications, "delete")
def delete_notification(shell: Shell, notification_id: NotificationId) -> None:
    """Delete a notification with its deliveries."""
    with shell.api() as api:
        api.notifications.delete(notification_id)
    shell.answer({"deleted": notification_id}, [f"{notification_id}  deleted"])


@command(notifications, "rotate")
def rotate_notification(shell: Shell, notification_id: NotificationId) -> None:
    """Give a notification another signing secret, and print it this once. For a day, both sign."""
    with shell.api() as api:
        notification = api.notifications.rotate(notification_id)
    shell.answer(notification, _described(notification))


@command(notifications, "test")
def try_notification(shell: Shell, notification_id: NotificationId) -> None:
    """Have a `notification.test` delivered."""
    with shell.api() as api:
        delivery = api.notifications.test(notification_id)
    shell.answer(delivery, in_columns([_delivery_row_of(delivery)]))


@command(notifications, "deliveries")
def list_deliveries(
    shell: Shell,
    notification_id: NotificationId,
    status: Annotated[
        str | None, typer.Option(help="Only those that are pending, delivered, or failed: given up.")
    ] = None,
    limit: Limit = 50,
) -> None:
    """List what a notification has told or is to tell, newest first."""
    with shell.api() as api:
        found = list(api.notifications.deliveries(notification_id, status=status, limit=limit))
    shell.answer(found, in_columns(map(_delivery_row_of, found)))


@command(notifications, "redeliver")
def redeliver(
    shell: Shell, delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="A delivery.")]
) -> None:
    """Have a delivery that has ended, either way, begin anew."""
    with shell.api() as api:
        delivery = api.notifications.redeliver(delivery_id)
    shell.answer(delivery, in_columns([_delivery_row_of(delivery)]))


def _state_of(notification: Notification) -> str:
    if notification["is_active"]:
        return "failing" if notification["failing_since"] else ""
    return f"off: {notification['disabled_for']}" if notification["disabled_for"] else "off"


def _row_of(notification: Notification) -> tuple[object, ...]:
    events = ", ".join(notification["events"])
    return notification["id"], notification["name"], notification["target"], _state_of(notification), events


def _delivery_row_of(delivery: NotificationDelivery) -> tuple[object, ...]:
    last = delivery["log"][-1] if delivery["log"] else {}
    attempts = f"{delivery['attempts']} attempts"
    next_at = f"next at {delivery['next_at']}" if delivery["next_at"] else ""
    return (
        delivery["id"],
        delivery["status"],
        delivery["event"],
        delivery["created_at"],
        delivery["execution_id"],
        attempts,
        last.get("error") or next_at,
    )


def _described(notification: Notification) -> Iterator[str]:
    yield f"{notification['id']}  {notification['name']}  {_state_of(notification)}".rstrip()
    told = ("id", "name", "is_active", "disabled_for")
    yield from rest_of({name: value for name, value in notification.items() if name not in told})
