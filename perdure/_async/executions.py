"""Executions: started, watched to their end, steered."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure._async.pausing import pause
from perdure.calls import path, pause_seconds
from perdure.errors import PASSING, ApiError
from perdure.events import EventLog, Gap
from perdure.types import ENDED, Event, Execution, NodeExecution, Results

if TYPE_CHECKING:
    from perdure._async.client import AsyncClient

SILENCE_SECONDS = 60.0
"""After so long without a sign of life a stream is opened again; there should be one four times as often."""


class AsyncExecutions:
    """Your executions. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def start(
        self,
        graph_id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        wait_seconds: float = 0.0,
        key: str | None = None,
        **options: Any,
    ) -> Execution:
        """Start an execution of a graph.

        Args:
            graph_id: Whose active version is executed, unless another is named.
            inputs: Run inputs by the names of the input nodes.
            version: Of the graph.
            wait_seconds: How long to wait for its end at most, within 300.
            key: An `Idempotency-Key`; one is made when left out.
            options: `credentials_inputs`, `preset_id`, `budget`, `priority`, `timeout_seconds`, …
        """
        place = path("graphs", graph_id, "execute", *([] if version is None else [str(version)]))
        chosen = {name: value for name, value in options.items() if value is not None}
        call = self._client.call(
            "POST",
            place,
            params={"wait": wait_seconds or None},
            body={"inputs": dict(inputs or {}), **chosen},
            key=key,
            extra_seconds=wait_seconds,
        )
        return cast(Execution, await call)

    async def list(
        self,
        *,
        graph_id: str | None = None,
        status: str | None = None,
        trigger: str | None = None,
        parent_id: str | None = None,
        limit: int | None = None,
        refs: bool = False,
    ) -> AsyncIterator[Execution]:
        """Give your executions, newest first; with `refs`, large values as references."""
        params = {
            "graph_id": graph_id,
            "status": status,
            "trigger": trigger,
            "parent_id": parent_id,
            "refs": refs,
        }
        async for item in self._client.items(path("executions"), params=params, limit=limit):
            yield item

    async def get(self, execution_id: str, *, refs: bool = False) -> Execution:
        """Return an execution as it now stands; with `refs`, large values as references."""
        call = self._client.call("GET", path("executions", execution_id), params={"refs": refs})
        return cast(Execution, await call)

    async def results(self, execution_id: str, *, refs: bool = False) -> Results:
        """Return how an execution ended; `CONFLICT` while it runs."""
        call = self._client.call("GET", path("executions", execution_id, "results"), params={"refs": refs})
        return cast(Results, await call)

    async def nodes(
        self,
        execution_id: str,
        *,
        node_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        refs: bool = False,
    ) -> AsyncIterator[NodeExecution]:
        """Give the node executions in the order in which something last happened to them."""
        params = {"node_id": node_id, "status": status, "refs": refs}
        async for item in self._client.items(
            path("executions", execution_id, "nodes"), params=params, limit=limit
        ):
            yield item

    async def events(
        self, execution_id: str, *, after: int = 0, tokens: bool = False
    ) -> AsyncIterator[Event]:
        """Give what happens in an execution until its last event, each once and in order.

        A connection that is lost is opened again, and goes on where it was.

        Args:
            execution_id: The execution.
            after: The `seq` behind which to begin.
            tokens: Whether to give what models write meanwhile: events `token` without a `seq`, for showing only.
        """
        async for event in self._events(execution_id, after=after, tokens=tokens):
            if event is not None:
                yield event

    async def wait(self, execution_id: str, *, timeout_seconds: float | None = None) -> Execution:
        """Wait for the end of an execution; return it.

        Raises:
            ApiError: The API refuses.
            TimeoutError: It has not ended in time.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        execution = await self.get(execution_id, refs=True)
        if execution["status"] not in ENDED:
            async for _ in self._events(execution_id, after=0, tokens=False, deadline=deadline):
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{execution_id} has not ended after {timeout_seconds} s")
        return await self.get(execution_id)

    async def stop(self, execution_id: str) -> Execution:
        """Stop an execution. One that has ended stays as it is."""
        return await self._steer(execution_id, "stop")

    async def pause(self, execution_id: str) -> Execution:
        """Start no further node execution."""
        return await self._steer(execution_id, "pause")

    async def resume(self, execution_id: str) -> Execution:
        """Go on where it was paused."""
        return await self._steer(execution_id, "resume")

    async def rerun(
        self,
        execution_id: str,
        *,
        from_nodes: Sequence[str] | None = None,
        inputs: Mapping[str, Any] | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Execution:
        """Run an ended execution again as a new one; without `from_nodes`, from what failed.

        Args:
            execution_id: What to run again.
            from_nodes: Nodes to execute again, with all that follows from them.
            inputs: Run inputs that are to be others than before.
            key: An `Idempotency-Key`; one is made when left out.
            options: `graph_version`, `confirm`, `budget`, `dry_run`, …; a dry run answers with what would be done.
        """
        named = {
            "from_nodes": None if from_nodes is None else list(from_nodes),
            "inputs": None if inputs is None else dict(inputs),
            **options,
        }
        body = {name: value for name, value in named.items() if value is not None}
        call = self._client.call("POST", path("executions", execution_id, "rerun"), body=body, key=key)
        return cast(Execution, await call)

    async def delete(self, execution_id: str) -> None:
        """Delete the record of an execution that has ended."""
        await self._client.call("DELETE", path("executions", execution_id))

    async def _steer(self, execution_id: str, verb: str) -> Execution:
        return cast(Execution, await self._client.call("POST", path("executions", execution_id, verb)))

    async def _events(
        self, execution_id: str, *, after: int, tokens: bool, deadline: float | None = None
    ) -> AsyncGenerator[Event | None]:
        """Give events, and None for every sign of life in between and at the deadline."""
        log = EventLog(after)
        failing_since: float | None = None
        attempt = 0
        while True:
            attempt += 1
            known = log.seq
            silence_seconds = SILENCE_SECONDS if deadline is None else max(deadline - time.monotonic(), 0.1)
            lines = self._client.lines(
                path("executions", execution_id, "events"),
                params={"tokens": tokens},
                headers=log.connect(),
                silence_seconds=min(silence_seconds, SILENCE_SECONDS),
            )
            try:
                async for line in lines:
                    yield log.read(line)
                    attempt, failing_since = 0, None
                if log.is_over or (log.seq == known and await self._is_read(execution_id, log.seq)):
                    return
            except Gap:
                pass
            except ApiError as error:
                # A connection that has been silent for long was lost just now, as far as anybody knows.
                now = time.monotonic()
                failing_since = now if failing_since is None else failing_since
                if error.status not in PASSING or now - failing_since >= self._client.patience_seconds:
                    raise
            finally:
                await lines.aclose()
            yield None
            await pause(pause_seconds(max(attempt, 1), None) or 0.0)

    async def _is_read(self, execution_id: str, seq: int) -> bool:
        """Return whether the execution has ended and nothing comes after an event."""
        execution = await self.get(execution_id, refs=True)
        if execution["status"] not in ENDED:
            return False
        params = {"after": seq, "limit": 1}
        page = await self._client.call("GET", path("executions", execution_id, "events"), params=params)
        return not page["items"]
