"""Users and the audit log, for administrators. Every call of theirs stands in the log itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.admin import (
    AdminUserBody,
    AdminUserDetailView,
    AdminUserView,
    EnteredView,
    GrantBody,
    RefundBody,
    UserId,
)
from app.api.schemas.audit import AuditEntryView
from app.api.schemas.credits import EntryView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.models.audit import AuditFilter
from app.models.credits import Entered
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/admin", tags=["admin"], route_class=ApiRoute)

Word = Annotated[str | None, Query(max_length=300)]


@router.get("/users", responses=responses(403))
async def list_users(
    caller: CallerDep,
    api: ResourcesDep,
    q: Annotated[str, Query(max_length=100, description="What id, e-mail address or name must hold.")] = "",
    suspended: Annotated[bool | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[AdminUserView]:
    """List users, newest first."""
    page = await api.administration.list(words=q, is_suspended=suspended, cursor=cursor, limit=limit)
    return PageView(
        items=[AdminUserView.model_validate(user) for user in page.items], next_cursor=page.next_cursor
    )


@router.get("/users/{user_id}", responses=responses(403, 404))
async def get_user(user_id: UserId, caller: CallerDep, api: ResourcesDep) -> AdminUserDetailView:
    """Return a user with credits and counts."""
    account = await api.administration.require(user_id)
    shown = AdminUserView.model_validate(account.user).model_dump()
    return AdminUserDetailView(**shown, executions=account.executions)


@router.patch("/users/{user_id}", responses=responses(403, 404, 409))
async def change_user(
    user_id: UserId, body: AdminUserBody, caller: CallerDep, api: ResourcesDep
) -> AdminUserView:
    """Suspend a user or let them in again, or set what they may spend.

    Within seconds a suspended user may do nothing; what of theirs runs goes on. Roles are what tokens say.
    """
    return AdminUserView.model_validate(await api.administration.change(caller.user_id, user_id, body))


@router.get("/users/{user_id}/credits/entries", responses=responses(403, 404))
async def list_entries(
    user_id: UserId, caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[EntryView]:
    """List the entries of a user's ledger, newest first. The user is told in the audit log."""
    page = await api.administration.list_entries(user_id, cursor=cursor, limit=limit)
    return PageView(items=[EntryView.of(entry) for entry in page.items], next_cursor=page.next_cursor)


@router.post("/users/{user_id}/credits", responses=responses(403, 404, 409))
async def grant_credits(
    user_id: UserId, body: GrantBody, caller: CallerDep, api: ResourcesDep
) -> EnteredView:
    """Give a user credits, or with fewer than 0 take some that they have.

    Send an `Idempotency-Key`: a repeat under it gives nothing again, however much later.
    """
    return _entered(await api.administration.grant(caller.user_id, user_id, body))


@router.post("/users/{user_id}/refunds", responses=responses(403, 404, 409))
async def refund_charge(
    user_id: UserId, body: RefundBody, caller: CallerDep, api: ResourcesDep
) -> EnteredView:
    """Give back what a user was charged for an execution with all that is nested in it, or for one call.

    All refunds together never give back more than was charged. Send an `Idempotency-Key`: a repeat under it gives
    nothing again, however much later.
    """
    return _entered(await api.administration.refund(caller.user_id, user_id, body))


async def _read_filter(
    user_id: Word = None,
    actor_id: Word = None,
    action: Word = None,
    object_id: Word = None,
    outcome: Annotated[
        str | None, Query(max_length=100, description="Code of an error; empty for what was done.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Before this moment.")] = None,
) -> AuditFilter:
    return AuditFilter(user_id, actor_id, action, object_id, outcome, since, until)


@router.get("/audit", responses=responses(403))
async def list_audit(
    caller: CallerDep,
    api: ResourcesDep,
    wanted: Annotated[AuditFilter, Depends(_read_filter)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[AuditEntryView]:
    """List the audit log of everybody, newest first."""
    page = await api.audit_log.list_all(wanted, cursor=cursor, limit=limit)
    items = [AuditEntryView.model_validate(entry) for entry in page.items]
    return PageView(items=items, next_cursor=page.next_cursor)


def _entered(entered: Entered) -> EnteredView:
    return EnteredView(credits=entered.amount, balance=entered.balance)
