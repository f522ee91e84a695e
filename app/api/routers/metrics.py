"""Metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app.api.dependencies import ResourcesDep
from app.api.route import ReadingRoute
from app.api.schemas.errors import responses


class MetricsRoute(ReadingRoute):
    """A route for administrators, and for whoever holds the token of the metrics; by setting, for everybody."""

    async def admit(self, request: Request) -> None:
        """Let Prometheus in, or find out who else calls.

        Raises:
            Unauthenticated: Nobody we know.
            Forbidden: They are no administrator.
        """
        if not request.app.state.resources.metrics_access.lets_in(request.headers):
            await super().admit(request)


router = APIRouter(tags=["health"], route_class=MetricsRoute)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses(403)},
)
async def get_metrics(api: ResourcesDep) -> Response:
    """Return the metrics of this process and of the whole deployment as Prometheus reads them."""
    return Response(api.metrics.page(await api.facts.metrics()), media_type=CONTENT_TYPE_PLAIN_0_0_4)
