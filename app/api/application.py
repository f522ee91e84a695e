"""Puts the API together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from temporalio.client import Client

from app.api.api_document import DocumentedApi, operation_id
from app.api.assembly import make_resources
from app.api.config import ApiConfig
from app.api.edge.cross_origin import AllowOrigins
from app.api.edge.outermost import Edge
from app.api.errors import install_error_handlers
from app.api.json_response import JsonResponse
from app.api.metrics import MeasureRequests
from app.api.route import PREFIX
from app.api.routers import (
    admin,
    admin_executions,
    api_keys,
    audit,
    blocks,
    codec,
    credentials,
    documents,
    executions,
    files,
    graphs,
    health,
    live,
    memories,
    metrics,
    models,
    notifications,
    presets,
    publications,
    reruns,
    reviews,
    runs,
    schedules,
    sockets,
    tools,
    top_ups,
    users,
    webhooks,
)
from app.api.routers.credits import router as credits_router
from app.api.web_ui import WebUiAccess
from app.blocks.registry import BlockRegistry

DESCRIPTION = """A durable engine for agent graphs.

Every call but the health checks needs `Authorization: Bearer <token>` or `X-API-Key`. Lists come in pages:
`next_cursor` of one page is `cursor` of the next. Every error has the same body.
"""
ROUTERS = (
    graphs.router,
    executions.router,
    live.router,
    live.ticket_router,
    reruns.router,
    presets.router,
    webhooks.router,
    webhooks.delivery_router,
    publications.router,
    runs.router,
    documents.router,
    tools.router,
    blocks.router,
    models.router,
    users.router,
    audit.router,
    admin.router,
    admin_executions.router,
    credits_router,
    top_ups.router,
    top_ups.notice_router,
    api_keys.router,
    credentials.router,
    credentials.admin_router,
    files.upload_router,
    files.router,
    memories.router,
    notifications.router,
    codec.router,
    codec.capability_router,
    reviews.link_router,
    reviews.router,
    schedules.router,
)


def _make_routes() -> list[BaseRoute]:
    api = APIRouter(default_response_class=JsonResponse, generate_unique_id_function=operation_id)
    for router in ROUTERS:
        api.include_router(router, prefix=PREFIX)
    api.include_router(health.router)
    api.include_router(metrics.router)
    api.include_router(documents.open_router)
    api.include_router(health.router, prefix=PREFIX, include_in_schema=False)
    return [*api.routes, *sockets.routes]


ROUTES = _make_routes()
"""What they take and answer with is worked out at the first request and kept with them, for all APIs of a process."""


def make_application(
    config: ApiConfig, connect: Callable[[], Awaitable[Client]], *, registry: BlockRegistry | None = None
) -> FastAPI:
    """Make the API.

    Args:
        config: What it needs to know.
        connect: Connects to Temporal; called when a connection is first needed, and again until there is one.
        registry: The blocks there are; those of the configuration unless said otherwise.

    Raises:
        ValueError: The configuration says neither secret nor key set for tokens.
    """
    resources = make_resources(config, connect, registry=registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with resources.running():
            yield

    application = DocumentedApi(
        title="Perdure",
        description=DESCRIPTION,
        version="0.1.0",
        lifespan=lifespan,
        default_response_class=JsonResponse,
        redirect_slashes=False,
        # Its own way of telling, switched on from outside, would tell of paths and messages, which may be secrets.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        routes=ROUTES,
    )
    application.state.resources = resources
    install_error_handlers(application)
    if config.cors_origins:
        application.add_middleware(AllowOrigins, origins=config.cors_origins)
    application.add_middleware(WebUiAccess, web_ui_url=config.temporal_ui_url)
    application.add_middleware(Edge, is_https=config.is_https)
    if config.request_tracing is not None:
        application.add_middleware(config.request_tracing)
    application.add_middleware(MeasureRequests, metrics=resources.metrics)
    return application
