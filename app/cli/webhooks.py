"""`perdure webhooks`: addresses at which others start executions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.given import (
    Budget,
    GraphRef,
    Limit,
    OfGraph,
    PresetOption,
    Version,
    find_graph,
    read_secret,
)
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, rest_of

if TYPE_CHECKING:
    from perdure.triggers import Webhook, WebhookDelivery

webhooks = typer.Typer(help="Addresses at which others start executions.", no_args_is_help=True)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="A webhook.")]
Into = Annotated[str | None, typer.Option("--into", metavar="NAME", help="The run input that gets the body.")]
BodyType = Annotated[str | None, typer.Option(help="How bodies are read: json, form or text.")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event", metavar="EVENT", help="What starts something, or its beginning with a *; repeatable."
    ),
]
AllowsWait = Annotated[
    bool | None, typer.Option("--allow-wait/--no-wait", help="Whether senders may be shown what comes of it.")
]
SecretFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Holds a secret that the sender has made; `-` for standard input."),
]


@command(webhooks, "list")
def list_webhooks(shell: Shell, graph: OfGraph = None, limit: Limit = 50) -> None:
    """List your webhooks without their secrets, newest first."""
    with shell.api() as api:
        graph_id = None if graph is None else find_graph(api, graph)
        found = list(api.webhooks.list(graph_id=graph_id, limit=limit))
    shell.answer(found, in_columns(map(_row_of, found)))


@command(webhooks, "get")
def get_webhook(shell: Shell, webhook_id: WebhookId) -> None:
    """Show one webhook, without its secret."""
    with shell.api() as api:
        webhook = api.webhooks.get(webhook_id)
    shell.answer(webhook, _described(webhook))


@command(webhooks, "create")
def create_webhook(  # noqa: PLR0913 - the options of the command
    shell: Shell,
    graph: GraphRef,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    scheme: Annotated[
        str, typer.Option(help="How senders prove who they are: standard, github, stripe, slack or token.")
    ] = "standard",
    into: Into = None,
    events: Events = None,
    body_type: BodyType = None,
    preset_id: PresetOption = None,
    version: Version = None,
    budget: Budget = None,
    allows_wait: AllowsWait = None,
    secret_file: SecretFile = None,
) -> None:
    """Make an address at which whoever knows its secret executes a graph; print both, the secret this once."""
    secret = read_secret(secret_file)
    with shell.api() as api:
        webhook = api.webhooks.create(
            find_graph(api, graph),
            name,
            scheme,
            input=into,
            events=events,
            body_type=body_type,
            preset_id=preset_id,
            graph_version=version,
            budget=budget,
            allows_wait=allows_wait,
            secret=secret,
        )
    shell.answer(webhook, _described(webhook))


@command(webhooks, "update")
def update_webhook(  # noqa: PLR0913 - the options of the command
    shell: Shell,
    webhook_id: WebhookId,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    into: Into = None,
    events: Events = None,
    body_type: BodyType = None,
    preset_id: PresetOption = None,
    version: Version = None,
    budget: Budget = None,
    allows_wait: AllowsWait = None,
    is_active: Annotated[
        bool | None, typer.Option("--on/--off", help="Whether deliveries are taken.")
    ] = None,
) -> None:
    """Change a webhook; what is left out stays."""
    named: dict[str, Any] = {
        "name": name,
        "input": into,
        "events": events or None,
        "body_type": body_type,
        "preset_id": preset_id,
        "graph_version": version,
        "budget": budget,
        "allows_wait": allows_wait,
        "is_active": is_active,
    }
    changes = {key: value for key, value in named.items() if value is not None}
    with shell.api() as api:
        webhook = api.webhooks.update(webhook_id, **changes)
    shell.answer(webhook, _described(webhook))


@command(webhooks, "delete")
def delete_webhook(shell: Shell, webhook_id: WebhookId) -> None:
    """Delete a webhook. What it has started stays."""
    with shell.api() as api:
        api.webhooks.delete(webhook_id)
    shell.answer({"deleted": webhook_id}, [f"{webhook_id}  deleted"])


@command(webhooks, "rotate")
def rotate_webhook(
    shell: Shell,
    webhook_id: WebhookId,
    secret_file: SecretFile = None,
    former_valid_seconds: Annotated[
        int | None,
        typer.Option(
            min=0, help="How long the secret before it counts too: a day if left out, 0 for not at all."
        ),
    ] = None,
) -> None:
    """Give a webhook another secret, and print it this once."""
    secret = read_secret(secret_file)
    with shell.api() as api:
        webhook = api.webhooks.rotate(webhook_id, secret=secret, former_valid_seconds=former_valid_seconds)
    shell.answer(webhook, _described(webhook))


@command(webhooks, "deliveries")
def list_deliveries(shell: Shell, webhook_id: WebhookId, limit: Limit = 50) -> None:
    """List what has come in, and what came of it, newest first."""
    with shell.api() as api:
        found = list(api.webhooks.deliveries(webhook_id, limit=limit))
    shell.answer(found, in_columns(map(_delivery_row_of, found)))


def _row_of(webhook: Webhook) -> tuple[object, ...]:
    state = "" if webhook["is_active"] else "off"
    return webhook["id"], webhook["name"], webhook["scheme"], webhook["graph_id"], state


def _delivery_row_of(delivery: WebhookDelivery) -> tuple[object, ...]:
    times = f"{delivery['times']} times" if delivery["times"] > 1 else ""
    return (
        delivery["last_at"],
        delivery["event"],
        delivery["outcome"],
        delivery["execution_id"],
        times,
        delivery["message"],
    )


def _described(webhook: Webhook) -> Iterator[str]:
    state = "" if webhook["is_active"] else "  off"
    yield f"{webhook['id']}  {webhook['name']}{state}"
    yield from rest_of(
        {name: value for name, value in webhook.items() if name not in ("id", "name", "is_active")}
    )
