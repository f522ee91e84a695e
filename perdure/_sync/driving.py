# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""What executions are started by, or with: schedules and presets of graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import given, path
from perdure.triggers import Backfill, Preset, Schedule
from perdure.types import Execution

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Schedules:
    """Your schedules. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        graph_id: str,
        cron: str | Sequence[str] | None = None,
        *,
        timezone: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Have a graph executed again and again.

        Args:
            graph_id: Whose graph.
            cron: When: five fields, or `@daily` and the like; several in a list.
            timezone: In whose time they are read, e.g. `Europe/Zurich`; that of your account when left out.
            inputs: Of each execution.
            options: `name`, `calendars`, `intervals`, `overlap`, `jitter`, `catchup_window`, `preset_id`, …
        """
        named = given(cron=cron, timezone=timezone, inputs=inputs, **options)
        call = self._client.call("POST", path("graphs", graph_id, "schedules"), body=named)
        return cast(Schedule, call)

    def list(self, *, graph_id: str | None = None, limit: int | None = None) -> Iterator[Schedule]:
        """Give your schedules, newest first; or those of a graph."""
        place = path("schedules") if graph_id is None else path("graphs", graph_id, "schedules")
        for item in self._client.items(place, limit=limit):
            yield item

    def get(self, schedule_id: str) -> Schedule:
        """Return a schedule, with the times at which it fires next and what it has started last."""
        return cast(Schedule, self._client.call("GET", path("schedules", schedule_id)))

    def update(self, schedule_id: str, **changes: Any) -> Schedule:
        """Change what is named; what is left out stays."""
        call = self._client.call("PATCH", path("schedules", schedule_id), body=changes)
        return cast(Schedule, call)

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule. What it has started goes on."""
        self._client.call("DELETE", path("schedules", schedule_id))

    def pause(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Let it fire no more for the time being."""
        return self._tell(schedule_id, "pause", note=note)

    def resume(self, schedule_id: str, note: str | None = None) -> Schedule:
        """Let it fire again."""
        return self._tell(schedule_id, "resume", note=note)

    def trigger(self, schedule_id: str, *, overlap: str | None = None) -> Schedule:
        """Let it fire now; its execution is listed a moment later. `overlap` stands for its own this once."""
        return self._tell(schedule_id, "trigger", overlap=overlap)

    def backfill(
        self,
        schedule_id: str,
        start_at: str,
        end_at: str,
        *,
        overlap: str | None = None,
        key: str | None = None,
    ) -> Backfill:
        """Let it fire as often as it would have in a time that has passed.

        Args:
            schedule_id: The schedule.
            start_at: From then on, ISO 8601 with an offset.
            end_at: Until then.
            overlap: One after the other when left out.
            key: An `Idempotency-Key`; one is made when left out.
        """
        body = given(start_at=start_at, end_at=end_at, overlap=overlap)
        call = self._client.call("POST", path("schedules", schedule_id, "backfill"), body=body, key=key)
        return cast(Backfill, call)

    def _tell(self, schedule_id: str, verb: str, **options: Any) -> Schedule:
        call = self._client.call("POST", path("schedules", schedule_id, verb), body=given(**options))
        return cast(Schedule, call)


class Presets:
    """Your presets: inputs and credentials of a graph under a name. Every method raises `ApiError` on a refusal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, graph_id: str, name: str, inputs: Mapping[str, Any] | None = None, **options: Any
    ) -> Preset:
        """Keep inputs of a graph; `options` are `description`, `credentials_inputs`, `graph_version`."""
        body = given(graph_id=graph_id, name=name, inputs=inputs, **options)
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

    def execute(
        self,
        preset_id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wait_seconds: float = 0.0,
        key: str | None = None,
        **options: Any,
    ) -> Execution:
        """Execute its graph with what it holds; what is given here wins.

        Args:
            preset_id: The preset.
            inputs: Run inputs that it does not hold, or others than it holds.
            wait_seconds: How long to wait for the end at most, within 300.
            key: An `Idempotency-Key`; one is made when left out.
            options: As of a start: `credentials_inputs`, `budget`, `priority`, …
        """
        call = self._client.call(
            "POST",
            path("presets", preset_id, "execute"),
            params={"wait": wait_seconds or None},
            body=given(inputs=inputs or {}, **options),
            key=key,
            extra_seconds=wait_seconds,
        )
        return cast(Execution, call)
