"""Inbound webhooks: addresses at which somebody outside starts executions, and what comes in there."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.json_body import read_bounded
from app.api.open_routes import WebhookRoute
from app.api.route import GivenSecretRoute
from app.api.routers.executions import MAX_WAIT_SECONDS, Wait
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.webhooks import (
    ChallengeView,
    NewWebhookView,
    ReceiptView,
    RotationBody,
    WebhookBody,
    WebhookChangeBody,
    WebhookDeliveryView,
    WebhookView,
)
from app.api.services.records import is_ended
from app.api.webhooks.receiving import Received
from app.errors import PayloadTooLarge, SlowRequest, Unauthenticated
from app.models.page import DEFAULT_LIMIT
from app.models.tables.webhooks import Webhook
from app.tenants import working_for

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=GivenSecretRoute)
delivery_router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=WebhookRoute)

_BODY: dict[str, Any] = {"requestBody": {"content": {"application/json": {"schema": {}}}}}
"""Whatever the sender has to say."""
_UNPROVEN = (Unauthenticated, PayloadTooLarge, SlowRequest)
"""What a delivery is refused with before anybody knows whose it is."""


@router.post("", status_code=201, responses=responses(400, 404, 409, 413))
async def create_webhook(
    body: WebhookBody, request: Request, caller: CallerDep, api: ResourcesDep
) -> NewWebhookView:
    """Make an address at which whoever knows its secret starts executions of a graph of yours.

    The answer shows the secret this once.
    """
    row, secret = await api.triggers.webhooks.create(caller.user_id, body)
    return NewWebhookView.made(row, _url(row, request, api), secret)


@router.get("", responses=responses())
async def list_webhooks(
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    graph_id: Annotated[Id | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[WebhookView]:
    """List your webhooks without their secrets, newest first."""
    page = await api.triggers.webhooks.list(caller.user_id, graph_id=graph_id, cursor=cursor, limit=limit)
    items = [WebhookView.of(row, _url(row, request, api)) for row in page.items]
    return PageView(items=items, next_cursor=page.next_cursor)


@router.get("/{webhook_id}", responses=responses(404))
async def get_webhook(webhook_id: Id, request: Request, caller: CallerDep, api: ResourcesDep) -> WebhookView:
    """Return a webhook without its secret."""
    row = await api.triggers.webhooks.require(caller.user_id, webhook_id)
    return WebhookView.of(row, _url(row, request, api))


@router.patch("/{webhook_id}", responses=responses(400, 404, 413))
async def change_webhook(
    webhook_id: Id, body: WebhookChangeBody, request: Request, caller: CallerDep, api: ResourcesDep
) -> WebhookView:
    """Change a webhook, or turn it off. The very next delivery is taken, or refused, accordingly."""
    row = await api.triggers.webhooks.change(caller.user_id, webhook_id, body)
    return WebhookView.of(row, _url(row, request, api))


@router.delete("/{webhook_id}", status_code=204, responses=responses(404))
async def delete_webhook(webhook_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a webhook, and the list of what has come in through it. What it has started stays."""
    await api.triggers.webhooks.delete(caller.user_id, webhook_id)
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate", responses=responses(404, 413))
async def rotate_webhook(
    webhook_id: Id, body: RotationBody, request: Request, caller: CallerDep, api: ResourcesDep
) -> NewWebhookView:
    """Give a webhook another secret, shown this once. The one before it counts for a day, or as long as you say."""
    row, secret = await api.triggers.webhooks.rotate(caller.user_id, webhook_id, body)
    return NewWebhookView.made(row, _url(row, request, api), secret)


@router.get("/{webhook_id}/deliveries", responses=responses(404))
async def list_webhook_deliveries(
    webhook_id: Id,
    caller: CallerDep,
    api: ResourcesDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[WebhookDeliveryView]:
    """List what has come in through a webhook in the last 30 days, newest first. What was not proven is not in it."""
    page = await api.triggers.webhooks.list_deliveries(caller.user_id, webhook_id, cursor=cursor, limit=limit)
    items = [WebhookDeliveryView.of(row) for row in page.items]
    return PageView(items=items, next_cursor=page.next_cursor)


@delivery_router.post("/{webhook_id}", responses=responses(400, 402, 404, 413), openapi_extra=_BODY)
async def deliver(
    webhook_id: Id, request: Request, response: Response, api: ResourcesDep, wait: Wait = 0.0
) -> ReceiptView | ChallengeView:
    """Start an execution, as somebody outside. The signature is the permission; no token is needed.

    A delivery that was taken before is answered with the execution that it started, and `Idempotent-Replayed: true`.
    """
    declared = request.headers.get("content-length", "")
    try:
        body = await read_bounded(request.stream(), int(declared) if declared.isdecimal() else None)
        received = await api.triggers.receiving.take(webhook_id, request.headers, body, waits=wait > 0)
    except _UNPROVEN:
        await WebhookRoute.count_stranger(request)
        raise
    if received.challenge is not None:
        return ChallengeView(challenge=received.challenge)
    if received.started is None:
        return ReceiptView(delivery_id=received.delivery_id, execution_id=None, status=None)
    if received.started.is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    with working_for(received.webhook.user_id):
        return await _receipt(received, api, min(wait, MAX_WAIT_SECONDS))


async def _receipt(received: Received, api: ResourcesDep, wait_seconds: float) -> ReceiptView:
    assert received.started is not None
    execution = received.started.execution
    told: dict[str, Any] = {"delivery_id": received.delivery_id, "execution_id": execution.id}
    if wait_seconds:
        execution = await api.waiting.until_ended(received.webhook.user_id, execution.id, wait_seconds)
        if is_ended(execution):
            shown = await api.views.view_done(execution)
            told |= {"outputs": shown.outputs, "error": shown.error}
    return ReceiptView.model_validate({"status": execution.status, **told})


def _url(row: Webhook, request: Request, api: ResourcesDep) -> str:
    path = request.app.url_path_for("deliver", webhook_id=row.id)
    return f"{api.triggers.public_url or str(request.base_url).rstrip('/')}{path}"
