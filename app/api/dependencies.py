"""What endpoints are given: the caller, the parts of the API, and parameters that many of them share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from app.api.auth import Caller
from app.api.resources import Resources
from app.api.route import KEY_DESCRIPTION, KEY_HEADER, MAX_KEY_LENGTH
from app.models.page import MAX_LIMIT

# These only tell readers of the OpenAPI document how to authenticate: `ApiRoute` has done it before.
_bearer = HTTPBearer(auto_error=False, description="A JWT or an API key.")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


# Coroutines, for FastAPI has threads run what is none: two changes of thread for each request.
async def _caller(
    request: Request,
    _token: Annotated[object, Security(_bearer)],
    _key: Annotated[object, Security(_api_key)],
) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


async def _resources(request: Request) -> Resources:
    resources = request.app.state.resources
    assert isinstance(resources, Resources)
    return resources


CallerDep = Annotated[Caller, Depends(_caller)]
ResourcesDep = Annotated[Resources, Depends(_resources)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The most items of a page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description=KEY_DESCRIPTION,
    ),
]
