"""Files: sent, listed, fetched, deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from app.api.dependencies import CallerDep, Cursor, Limit, ResourcesDep
from app.api.route import ApiRoute
from app.api.schemas.errors import responses
from app.api.schemas.files import FileView
from app.api.schemas.page import PageView
from app.api.schemas.paths import Id
from app.api.uploads import UploadRequest, UploadRoute
from app.files.names import make_disposition
from app.models.page import DEFAULT_LIMIT

MAX_HOURS = 10 * 366 * 24
HARMLESS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""However a browser is brought to show a file, nothing in it runs."""
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _BINARY["schema"]},
                }
            },
            "application/octet-stream": _BINARY,
        },
    }
}

upload_router = APIRouter(prefix="/files", tags=["files"], route_class=UploadRoute)
router = APIRouter(prefix="/files", tags=["files"], route_class=ApiRoute)


@upload_router.post("", status_code=201, responses=responses(413), openapi_extra=_UPLOAD)
async def upload_file(
    request: UploadRequest,
    caller: CallerDep,
    api: ResourcesDep,
    expires_in_hours: Annotated[
        float | None, Query(gt=0, le=MAX_HOURS, description="It is deleted after that; kept when left out.")
    ] = None,
    name: Annotated[
        str | None, Query(max_length=1_000, description="What to call it when the body is the file itself.")
    ] = None,
) -> FileView:
    """Keep a file: the field `file` of a form, or the body itself with its name in the query.

    Its `reference` is what a graph is given in place of the file. Its type is found out from its content.
    """
    upload = request.upload
    file = await api.files.keep(
        caller.user_id,
        upload.content,
        name=name or upload.name,
        content_type=upload.content_type,
        lifetime=timedelta(hours=expires_in_hours) if expires_in_hours else None,
    )
    return FileView.of(file)


@router.get("", responses=responses())
async def list_files(
    caller: CallerDep,
    api: ResourcesDep,
    execution_id: Annotated[Id | None, Query(description="Those that this execution has made.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageView[FileView]:
    """List your files, newest first."""
    page = await api.files.list(caller.user_id, execution_id=execution_id, cursor=cursor, limit=limit)
    return PageView(items=[FileView.of(file) for file in page.items], next_cursor=page.next_cursor)


@router.get("/{file_id}", responses=responses(404), response_class=StreamingResponse)
async def download_file(file_id: Id, caller: CallerDep, api: ResourcesDep) -> StreamingResponse:
    """Return the content of a file, to be saved."""
    file, content = await api.files.open(caller.user_id, file_id)
    headers = {"Content-Disposition": make_disposition(file.name), "Content-Length": str(file.size)}
    return StreamingResponse(content, media_type=file.content_type, headers=headers | HARMLESS)


@router.get("/{file_id}/info", responses=responses(404))
async def get_file(file_id: Id, caller: CallerDep, api: ResourcesDep) -> FileView:
    """Return what is known of a file."""
    return FileView.of(await api.files.require(caller.user_id, file_id))


@router.delete("/{file_id}", status_code=204, responses=responses(404))
async def delete_file(file_id: Id, caller: CallerDep, api: ResourcesDep) -> Response:
    """Delete a file. Values that refer to it refer to nothing from now on."""
    await api.files.delete(caller.user_id, file_id)
    return Response(status_code=204)
