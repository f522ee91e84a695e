# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""What executions are started by, or with: schedules and presets of graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import Execution, Preset, Schedule

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Schedules:
    """Your schedules. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        graph_id: str,
        cron: str,
        *,
        timezone: str = "UTC",
        inputs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Have a graph executed again and again.

        Args:
            graph_id: Whose graph.
            cron: When: five fields.
            timezone: In whose time they are read, e.g. `Europe/Bern`.
            inputs: Of each execution.
            options: `name`, `overlap`, `jitter`, `catchup_window`, …
        """
        chosen = {name: value for name, value in options.items() if value is not None}
        body = {"cron": cron, "timezone": timezone, "inputs": dict(inputs or {}), **chosen}
        call = self._client.call("POST", path("graphs", graph_id, "schedules"), body=body)
        return cast(Schedule, call)

    def list(self, *, graph_id: str | None = None, limit: int | None = None) -> Iterator[Schedule]:
        """Give your schedules, newest first; or those of a graph."""
        place = path("schedules") if graph_id is None else path("graphs", graph_id, "schedules")
        for item in self._client.items(place, limit=limit):
            yield item

    def get(self, schedule_id: str) -> Schedule:
        """Return a schedule, with the times at which it fires next."""
        return cast(Schedule, self._client.call("GET", path("schedules", schedule_id)))

    def update(self, schedule_id: str, **changes: Any) -> Schedule:
        """Change what is named; what is left out stays."""
        call = self._client.call("PATCH", path("schedules", schedule_id), body=changes)
        return cast(Schedule, call)

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule. What it has started goes on."""
        self._client.call("DELETE", path("schedules", schedule_id))

    def pause(self, schedule_id: str) -> Schedule:
        """Let it fire no more for the time being."""
        return cast(Schedule, self._client.call("POST", path("schedules", schedule_id, "pause")))

    def resume(self, schedule_id: str) -> Schedule:
        """Let it fire again."""
        return cast(Schedule, self._client.call("POST", path("schedules", schedule_id, "resume")))

    def trigger(self, schedule_id: str) -> dict[str, Any]:
        """Let it fire now."""
        return cast("dict[str, Any]", self._client.call("POST", path("schedules", schedule_id, "trigger")))

    def backfill(self, schedule_id: str, **span: Any) -> dict[str, Any]:
        """Let it fire for times that have passed."""
        call = self._client.call("POST", path("schedules", schedule_id, "backfill"), body=span)
        return cast("dict[str, Any]", call)


class Presets:
    """Your presets: inputs and credentials of a graph under a name. Every method raises `ApiError` on a refusal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, graph_id: str, name: str, inputs: Mapping[str, Any], **options: Any) -> Preset:
        """Keep inputs of a graph; `options` are `description`, `credentials_inputs`, `graph_version`."""
        chosen = {name: value for name, value in options.items() if value is not None}
        body = {"graph_id": graph_id, "name": name, "inputs": dict(inputs), **chosen}
        return cast(Preset, self._client.call("POST", path("presets"), body=body))

    def list(self, *, graph_id: str | None = None, limit: int | None = None) -> Iterator[Preset]:
        """Give your presets, newest first."""
        for item in self._client.items(path("presets"), params={"graph_id": graph_id}, limit=limit):
            yield item

    def get(self, preset_id: str) -> Preset:
        """Return a preset."""
        return cast(Preset, self._client.call("GET", path("presets", preset_id)))

    def update(self, preset_id: str, **changes: Any) -> Preset:
        """Change what is named; what is left out stays."""
        return cast(Preset, self._client.call("PATCH", path("presets", preset_id), body=changes))

    def delete(self, preset_id: str) -> None:
        """Delete a preset."""
        self._client.call("DELETE", path("presets", preset_id))

    def execute(self, preset_id: str, inputs: Mapping[str, Any] | None = None) -> Execution:
        """Execute its graph with what it holds; inputs that are given win."""
        call = self._client.call(
            "POST", path("presets", preset_id, "execute"), body={"inputs": dict(inputs or {})}
        )
        return cast(Execution, call)
