"""Graphs: saved in versions, checked, taken in and given out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import Graph, Imported, Validation

if TYPE_CHECKING:
    from perdure._async.client import AsyncClient


class AsyncGraphs:
    """Your graphs. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, graph: Mapping[str, Any]) -> Graph:
        """Save a graph `{name, description, nodes, links}`: version 1, active."""
        return cast(Graph, await self._client.call("POST", path("graphs"), body=dict(graph)))

    async def list(self, *, limit: int | None = None) -> AsyncIterator[Graph]:
        """Give your graphs, newest first."""
        async for item in self._client.items(path("graphs"), limit=limit):
            yield item

    async def get(self, graph_id: str, *, version: int | None = None) -> Graph:
        """Return a version of a graph; the active one when none is named."""
        params = {"version": version}
        return cast(Graph, await self._client.call("GET", path("graphs", graph_id), params=params))

    async def update(self, graph_id: str, graph: Mapping[str, Any]) -> Graph:
        """Save a new version and make it active."""
        return cast(Graph, await self._client.call("PUT", path("graphs", graph_id), body=dict(graph)))

    async def delete(self, graph_id: str) -> None:
        """Delete a graph with all its versions; what runs goes on."""
        await self._client.call("DELETE", path("graphs", graph_id))

    async def versions(self, graph_id: str, *, limit: int | None = None) -> AsyncIterator[Graph]:
        """Give the versions of a graph, newest first."""
        async for item in self._client.items(path("graphs", graph_id, "versions"), limit=limit):
            yield item

    async def activate(self, graph_id: str, version: int) -> Graph:
        """Make a version the active one."""
        body = {"active_graph_version": version}
        call = self._client.call("PUT", path("graphs", graph_id, "versions", "active"), body=body)
        return cast(Graph, await call)

    async def validate(self, graph: Mapping[str, Any]) -> Validation:
        """Say what is wrong with a graph, without saving it."""
        call = self._client.call("POST", path("graphs", "validate"), body=dict(graph))
        return cast(Validation, await call)

    async def analysis(self, graph_id: str, *, version: int | None = None) -> dict[str, Any]:
        """Say what the shape of a graph means for how it runs."""
        call = self._client.call("GET", path("graphs", graph_id, "analysis"), params={"version": version})
        return cast("dict[str, Any]", await call)

    async def estimate(
        self, graph_id: str, inputs: Mapping[str, Any] | None = None, *, version: int | None = None
    ) -> dict[str, Any]:
        """Say what one execution is expected to cost, and how long to take."""
        body = {"inputs": dict(inputs or {}), "version": version}
        call = self._client.call("POST", path("graphs", graph_id, "estimate"), body=body)
        return cast("dict[str, Any]", await call)

    async def import_agent(self, document: Mapping[str, Any]) -> Imported:
        """Take in an exported agent file as it is."""
        call = self._client.call("POST", path("graphs", "import"), body=dict(document))
        return cast(Imported, await call)

    async def export(self, graph_id: str, *, version: int | None = None) -> dict[str, Any]:
        """Return a graph, with all that is nested in it, as an agent file. No secret is in it."""
        call = self._client.call("GET", path("graphs", graph_id, "export"), params={"version": version})
        return cast("dict[str, Any]", await call)
