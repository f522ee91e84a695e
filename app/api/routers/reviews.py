"""Reviews: what executions wait for people to answer."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.auth import Caller
from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.errors import STATUS_OF_CODE
from app.api.json_body import parse_json, read_bounded
from app.api.open_routes import ReviewLinkRoute
from app.api.policies import Scope, holds
from app.api.review_links import ReviewLink
from app.api.review_page import notice_page, question_page
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.schemas.reviews import AnswerBody, QuestionView, ReviewView
from app.errors import Conflict, InvalidRequest, PerdureError
from app.models.page import DEFAULT_LIMIT
from app.models.review_writes import ReviewStatus
from app.models.reviews import ReviewFilter

router = APIRouter(tags=["reviews"], route_class=ApiRoute)
link_router = APIRouter(prefix="/reviews/link", tags=["reviews"], route_class=ReviewLinkRoute)

FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
MAX_FIELDS = 10
_SHOWN: dict[int | str, dict[str, Any]] = {200: {"content": {HTML: {}}, "model": QuestionView}}
_ANSWERED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/AnswerBody"}},
            FORM: {"schema": {"$ref": "#/components/schemas/AnswerBody"}},
        },
    }
}


@router.get("/reviews", responses=responses())
async def list_reviews(
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    status: Annotated[ReviewStatus | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[ReviewView]:
    """List the reviews of all your executions, newest first."""
    return await _list(request, caller, api, ReviewFilter(status), limit, cursor)


@router.get("/executions/{execution_id}/reviews", responses=responses(404))
async def list_reviews_of_execution(
    execution_id: Id,
    request: Request,
    caller: CallerDep,
    api: ResourcesDep,
    status: Annotated[ReviewStatus | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[ReviewView]:
    """List the reviews of an execution, newest first."""
    await api.records.require(caller.user_id, execution_id)
    return await _list(request, caller, api, ReviewFilter(status, execution_id), limit, cursor)


@router.post("/executions/{execution_id}/reviews/{node_execution_id}", responses=responses(404, 409, 413))
async def answer_review(
    execution_id: Id, node_execution_id: Id, body: AnswerBody, caller: CallerDep, api: ResourcesDep
) -> QuestionView:
    """Approve or reject what a node execution waits for.

    Of several answers one is taken; the others get a 409. The execution goes on once there is a worker, and it is not
    paused.
    """
    return await api.reviews.answer(caller.user_id, execution_id, node_execution_id, body)


@link_router.get("/{token}", responses={**responses(404, 409), **_SHOWN})
async def show_linked_review(token: str, request: Request, api: ResourcesDep) -> Any:
    """Show what the holder of a link is asked. The link is the permission; no token is needed.

    A browser gets a page with a form.
    """
    try:
        question = await api.reviews.view_linked(_link_of(request))
    except Conflict as error:
        return _refusal(request, error)
    return question_page(question) if _is_for_people(request) else question


@link_router.post("/{token}", responses={**responses(404, 409, 413), **_SHOWN}, openapi_extra=_ANSWERED)
async def answer_linked_review(token: str, request: Request, api: ResourcesDep) -> Any:
    """Answer the review that a link leads to: once, as JSON or as a form. The link is the permission."""
    try:
        question = await api.reviews.answer_linked(_link_of(request), await _read_answer(request))
    except (Conflict, InvalidRequest) as error:
        return _refusal(request, error)
    return notice_page("Thank you. Your answer was taken.") if _is_for_people(request) else question


async def _list(
    request: Request,
    caller: Caller,
    api: ResourcesDep,
    wanted: ReviewFilter,
    limit: int,
    cursor: str | None,
) -> PageView[ReviewView]:
    # A link is the permission to answer, so nobody is given one who may only look.
    prefix = f"{request.url_for('list_reviews')}/link/" if holds(caller, Scope.REVIEWS_WRITE) else None
    page = await api.reviews.view_list(caller.user_id, wanted, cursor=cursor, limit=limit, link_prefix=prefix)
    return PageView(items=page.items, next_cursor=page.next_cursor)


def _link_of(request: Request) -> ReviewLink:
    link = request.state.link
    assert isinstance(link, ReviewLink)
    return link


def _is_for_people(request: Request) -> bool:
    return HTML in request.headers.get("accept", "")


def _refusal(request: Request, error: PerdureError) -> Response:
    if not _is_for_people(request):
        raise error
    return notice_page(error.message, status_code=STATUS_OF_CODE[error.code])


async def _read_answer(request: Request) -> AnswerBody:
    """Return the answer in a body.

    Raises:
        PayloadTooLarge: It is too large.
        InvalidRequest: It is no JSON and no form.
        RequestValidationError: It is no answer.
    """
    declared = request.headers.get("content-length", "")
    body = await read_bounded(request.stream(), int(declared) if declared.isdecimal() else None)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = _read_form(body) if kind == FORM else parse_json(body)
    try:
        return AnswerBody.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _read_form(body: bytes) -> dict[str, Any]:
    try:
        fields = dict(
            parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
            )
        )
    except ValueError as error:
        raise InvalidRequest("The form cannot be read") from error
    given: dict[str, Any] = {"approved": {"true": True, "false": False}.get(fields.get("approved", ""))}
    if fields.get("message"):
        # Browsers end lines with two characters.
        given["message"] = fields["message"].replace("\r\n", "\n")
    # The form always holds the data; a rejection is of them as they were shown.
    if given["approved"] and fields.get("data", "").strip():
        given["data"] = parse_json(fields["data"].encode())
    # What a form brings is held to the same rules.
    checked: dict[str, Any] = parse_json(json.dumps(given).encode())
    return checked
