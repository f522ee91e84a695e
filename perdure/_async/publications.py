"""Publications: graphs that are called by names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import given, path
from perdure.triggers import Publication, Run

if TYPE_CHECKING:
    from perdure._async.client import AsyncClient

TIMEOUT_SECONDS = 50.0
BUDGET = "X-Perdure-Budget"


class AsyncPublications:
    """Your published graphs. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def publish(self, graph_id: str, slug: str, **options: Any) -> Publication:
        """Publish a graph under a name; of a published graph, change how, as a whole.

        Args:
            graph_id: The graph.
            slug: The name.
            options: `graph_version`, `preset_id`, `budget`, `description`, `is_tool`.
        """
        call = self._client.call(
            "PUT", path("graphs", graph_id, "publication"), body=given(slug=slug, **options)
        )
        return cast(Publication, await call)

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Publication]:
        """Give what you have published, by name."""
        async for item in self._client.items(path("publications"), limit=limit):
            yield item

    async def get(self, graph_id: str) -> Publication:
        """Return how a graph is published."""
        return cast(Publication, await self._client.call("GET", path("graphs", graph_id, "publication")))

    async def withdraw(self, graph_id: str) -> None:
        """Let a graph no longer be called by its name. Executions go on."""
        await self._client.call("DELETE", path("graphs", graph_id, "publication"))

    async def call(
        self,
        slug: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        budget: int | None = None,
        key: str | None = None,
    ) -> Run:
        """Call a published graph; raise `EXECUTION_FAILED` or `EXECUTION_CANCELLED` when it came to nothing.

        Args:
            slug: Its name.
            inputs: Run inputs by name.
            timeout_seconds: How long to wait for its end at most, within 300; it goes on after that.
            budget: The most credits that it may cost.
            key: An `Idempotency-Key`: under the same one it is waited for further. One is made when left out.
        """
        call = self._client.call(
            "POST",
            path("run", slug),
            params={"mode": "sync", "timeout": timeout_seconds},
            body=dict(inputs or {}),
            key=key,
            headers={} if budget is None else {BUDGET: str(budget)},
            extra_seconds=timeout_seconds,
        )
        return cast(Run, await call)
