"""Your credits: what there is, what they went for, and how many may be spent."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.credits import BudgetsBody, CreditsView, EntryView, HistoryItemView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.models.credit_history import HistoryKind
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/user/credits", tags=["credits"], route_class=ApiRoute)


@router.get("", responses=responses())
async def get_credits(caller: CallerDep, api: ResourcesDep) -> CreditsView:
    """Return how you stand: what may be spent, what is reserved, what was spent, and your budgets."""
    return CreditsView.of(await api.credits.require(caller.user_id))


@router.put("/budgets", responses=responses(413))
async def set_budgets(body: BudgetsBody, caller: CallerDep, api: ResourcesDep) -> CreditsView:
    """Set the most that may be spent in a day and at all. Executions that waited for more go on."""
    return CreditsView.of(await api.credits.set_budgets(caller.user_id, daily=body.daily, total=body.total))


@router.get("/history", responses=responses())
async def list_history(
    caller: CallerDep,
    api: ResourcesDep,
    kind: Annotated[HistoryKind | None, Query()] = None,
    execution_id: Annotated[UUID | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[HistoryItemView]:
    """List what your balance has changed for, newest first: an execution is one item, with all that it has cost."""
    page = await api.credits.list_history(
        caller.user_id, kind=kind, execution_id=execution_id, cursor=cursor, limit=limit
    )
    return PageView(items=[HistoryItemView.of(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/entries", responses=responses())
async def list_entries(
    caller: CallerDep,
    api: ResourcesDep,
    execution_id: Annotated[UUID | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[EntryView]:
    """List the entries of your ledger, newest first: every change of your balance, with the balance after it."""
    page = await api.credits.list_entries(
        caller.user_id, execution_id=execution_id, cursor=cursor, limit=limit
    )
    return PageView(items=[EntryView.of(item) for item in page.items], next_cursor=page.next_cursor)
