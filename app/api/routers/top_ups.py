"""Credits that are bought, and what the payment service tells of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.json_body import read_bounded
from app.api.open_routes import NoticeRoute
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.top_ups import AutoTopUpBody, AutoTopUpView, TopUpBody, TopUpView
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/user/credits", tags=["credits"], route_class=ApiRoute)
notice_router = APIRouter(prefix="/payments", tags=["credits"], route_class=NoticeRoute)

Signature = Annotated[str | None, Header(alias="Stripe-Signature")]


@router.post("/top-ups", status_code=201, responses=responses(409))
async def begin_top_up(body: TopUpBody, caller: CallerDep, api: ResourcesDep) -> TopUpView:
    """Buy credits: a person pays them at `checkout_url`, and they are there as soon as the money is.

    Where credits cannot be bought, the answer is 409 `PAYMENTS_DISABLED`.
    """
    payment = await api.selling.top_ups.begin(
        caller.user_id, body.credits, keeps_method=body.save_payment_method
    )
    return TopUpView.of(payment)


@router.get("/top-ups", responses=responses())
async def list_top_ups(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[TopUpView]:
    """List what you have bought, newest first."""
    page = await api.selling.top_ups.list(caller.user_id, cursor=cursor, limit=limit)
    return PageView(items=[TopUpView.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/top-ups/{top_up_id}", responses=responses(404))
async def get_top_up(top_up_id: Id, caller: CallerDep, api: ResourcesDep) -> TopUpView:
    """Return something that you have bought."""
    return TopUpView.of(await api.selling.top_ups.require(caller.user_id, top_up_id))


@router.post("/top-ups/{top_up_id}/refund", responses=responses(404, 409))
async def refund_top_up(top_up_id: Id, caller: CallerDep, api: ResourcesDep) -> TopUpView:
    """Give credits that you have bought back for your money, once a week, as long as your balance covers them.

    `refunding` says that the credits are taken and the money is on its way.
    """
    return TopUpView.of(await api.selling.refunds.ask(caller.user_id, top_up_id))


@router.get("/auto-top-up", responses=responses())
async def get_auto_top_up(caller: CallerDep, api: ResourcesDep) -> AutoTopUpView:
    """Return when credits are bought for you by themselves."""
    return AutoTopUpView.of(await api.selling.top_ups.find_automatic(caller.user_id))


@router.put("/auto-top-up", responses=responses(409))
async def set_auto_top_up(body: AutoTopUpBody, caller: CallerDep, api: ResourcesDep) -> AutoTopUpView:
    """Have credits bought when an execution leaves fewer than a threshold, at most once for each execution.

    You need to have paid once with `save_payment_method`.
    """
    payer = await api.selling.top_ups.set_automatic(
        caller.user_id, threshold=body.threshold, amount=body.credits
    )
    return AutoTopUpView.of(payer)


@notice_router.post("/stripe/webhook", status_code=204, responses=responses(413))
async def take_stripe_notice(request: Request, api: ResourcesDep, signature: Signature = None) -> None:
    """Take what Stripe tells of payments. Its signature is the permission."""
    declared = request.headers.get("content-length", "")
    body = await read_bounded(request.stream(), int(declared) if declared.isdecimal() else None)
    await api.selling.notices.take(body, signature)
