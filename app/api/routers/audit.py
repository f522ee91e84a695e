"""The audit log of one's own things."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.audit import AuditEntryView
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.models.page import DEFAULT_LIMIT

router = APIRouter(prefix="/user/audit", tags=["user"], route_class=ApiRoute)


@router.get("", responses=responses())
async def list_own_audit(
    caller: CallerDep, api: ResourcesDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> PageView[AuditEntryView]:
    """List who changed what of yours, newest first: you, your API keys, and administrators, who also look at things.

    An entry with an `outcome` was refused for that reason. Entries are never altered.
    """
    page = await api.audit_log.list_own(caller.user_id, cursor=cursor, limit=limit)
    items = [AuditEntryView.for_owner(entry) for entry in page.items]
    return PageView(items=items, next_cursor=page.next_cursor)
