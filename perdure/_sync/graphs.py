# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""Graphs: saved in versions, checked, taken in and given out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import Graph, Imported, Validation

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Graphs:
    """Your graphs. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, graph: Mapping[str, Any]) -> Graph:
        """Save a graph `{name, description, nodes, links}`: version 1, active."""
        return cast(Graph, self._client.call("POST", path("graphs"), body=dict(graph)))

    def list(self, *, limit: int | None = None) -> Iterator[Graph]:
        """Give your graphs, newest first."""
        for item in self._client.items(path("graphs"), limit=limit):
            yield item

    def get(self, graph_id: str, *, version: int | None = None) -> Graph:
        """Return a version of a graph; the active one when none is named."""
        params = {"version": version}
        return cast(Graph, self._client.call("GET", path("graphs", graph_id), params=params))

    def update(self, graph_id: str, graph: Mapping[str, Any]) -> Graph:
        """Save a new version and make it active."""
        return cast(Graph, self._client.call("PUT", path("graphs", graph_id), body=dict(graph)))

    def delete(self, graph_id: str) -> None:
        """Delete a graph with all its versions; what runs goes on."""
        self._client.call("DELETE", path("graphs", graph_id))

    def versions(self, graph_id: str, *, limit: int | None = None) -> Iterator[Graph]:
        """Give the versions of a graph, newest first."""
        for item in self._client.items(path("graphs", graph_id, "versions"), limit=limit):
            yield item

    def activate(self, graph_id: str, version: int) -> Graph:
        """Make a version the active one."""
        body = {"active_graph_version": version}
        call = self._client.call("PUT", path("graphs", graph_id, "versions", "active"), body=body)
        return cast(Graph, call)

    def validate(self, graph: Mapping[str, Any]) -> Validation:
        """Say what is wrong with a graph, without saving it."""
        call = self._client.call("POST", path("graphs", "validate"), body=dict(graph))
        return cast(Validation, call)

    def analysis(self, graph_id: str, *, version: int | None = None) -> dict[str, Any]:
        """Say what the shape of a graph means for how it runs."""
        call = self._client.call("GET", path("graphs", graph_id, "analysis"), params={"version": version})
        return cast("dict[str, Any]", call)

    def estimate(
        self, graph_id: str, inputs: Mapping[str, Any] | None = None, *, version: int | None = None
    ) -> dict[str, Any]:
        """Say what one execution is expected to cost, and how long to take."""
        body = {"inputs": dict(inputs or {}), "version": version}
        call = self._client.call("POST", path("graphs", graph_id, "estimate"), body=body)
        return cast("dict[str, Any]", call)

    def import_agent(self, document: Mapping[str, Any]) -> Imported:
        """Take in an exported agent file as it is."""
        call = self._client.call("POST", path("graphs", "import"), body=dict(document))
        return cast(Imported, call)

    def export(self, graph_id: str, *, version: int | None = None) -> dict[str, Any]:
        """Return a graph, with all that is nested in it, as an agent file. No secret is in it."""
        call = self._client.call("GET", path("graphs", graph_id, "export"), params={"version": version})
        return cast("dict[str, Any]", call)
