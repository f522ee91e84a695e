"""Those who watch executions while the API is killed again and again.

`API_KILLS=20 pytest tests/fault/test_watching.py` kills it more often than the usual run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.e2e.rest import assert_whole_log, save, start, sums
from tests.engine import Engine
from tests.live import Frame, streaming
from tests.processes import ServerProcess
from tests.stack import eventually

KILLS = int(os.environ.get("API_KILLS", "3"))
SIZE = 12
REST_SECONDS = 0.05


@dataclass
class Deployment:
    """The API that answers at this moment, if one does."""

    url: str = ""
    token: str = ""

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@dataclass
class Watcher:
    """Somebody who opens a broken connection again and goes on where it broke."""

    deployment: Deployment
    path: str
    last_id: str = ""
    frames: list[Frame] = field(default_factory=list)
    connections: int = 0

    def has_connected(self, times: int) -> bool:
        return self.connections == times

    async def watch(self, is_done: Callable[[Frame | None], bool]) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError, AssertionError):
                async with (
                    self.deployment.client() as client,
                    streaming(client, self.path, after=self.last_id) as stream,
                ):
                    self.connections += 1
                    while True:
                        frame = await stream.next()
                        self.last_id = stream.last_id
                        if frame is not None:
                            self.frames.append(frame)
                        if is_done(frame):
                            return
            await asyncio.sleep(REST_SECONDS)


async def watch_by_socket(deployment: Deployment, execution_id: str, seen: list[dict[str, Any]]) -> None:
    """Follow an execution over WebSockets, one after the other, to its end."""
    while True:
        with contextlib.suppress(OSError, WebSocketException, TimeoutError):
            url = f"ws{deployment.url.removeprefix('http')}/ws?token={deployment.token}"
            async with connect(url, proxy=None, open_timeout=5) as connection:
                after = seen[-1]["seq"] if seen else 0
                data = {"graph_exec_id": execution_id, "after": after}
                await connection.send(json.dumps({"method": "subscribe_graph_execution", "data": data}))
                async for text in connection:
                    message = json.loads(text)
                    if "seq" in message:
                        seen.append(message)
                    if message["method"] == "subscription_ended":
                        return
        await asyncio.sleep(REST_SECONDS)


def as_told(event: dict[str, Any]) -> str:
    """Return an event of the log as a stream has it, to the byte."""
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}"


async def test_whoever_watches_misses_nothing_and_hears_nothing_twice_when_the_api_is_killed(
    api_process: Callable[[], ServerProcess], engine: Engine, task_queue: str
) -> None:
    engine.task_queue = task_queue
    deployment = Deployment()
    watchers: list[tuple[str, Watcher, list[dict[str, Any]]]] = []
    async with asyncio.TaskGroup() as watching, engine.worker():
        feed = Watcher(deployment, "/api/events")
        ended: set[str] = set()
        graph_id = ""

        def has_told_of_all(frame: Frame | None) -> bool:
            if frame is not None and frame.event == "execution_completed":
                ended.add(frame.data["execution_id"])
            return len(ended) == KILLS + 1

        for number in range(KILLS + 1):
            api = await api_process().ready()
            deployment.url, deployment.token = api.run_info.api_url, api.token("watcher@example.org")
            async with deployment.client() as client:
                if not number:
                    graph_id = await save(client, sums(SIZE))
                    watching.create_task(feed.watch(has_told_of_all))
                await eventually(partial(feed.has_connected, number + 1))
                execution = await start(client, graph_id)
            watcher = Watcher(deployment, f"/api/executions/{execution['id']}/events")
            seen: list[dict[str, Any]] = []
            watchers.append((execution["id"], watcher, seen))
            watching.create_task(watcher.watch(lambda frame: frame is None))
            watching.create_task(watch_by_socket(deployment, execution["id"], seen))
            if number < KILLS:
                # Somewhere in the middle of it, or shortly before, or after.
                await asyncio.sleep(random.random() / 2)
                api.kill()

    told: dict[str, list[Any]] = {}
    snapshot, *events = feed.frames
    assert snapshot.event == "snapshot"
    for frame in events:
        told.setdefault(frame.data.pop("execution_id"), []).append(frame.data)
    async with deployment.client() as client:
        for execution_id, watcher, seen in watchers:
            log = await assert_whole_log(client, execution_id)
            assert [frame.text for frame in watcher.frames] == [as_told(event) for event in log]
            assert [message["data"]["event"] for message in seen] == log
            wholes = [event for event in log if not event["type"].startswith("node_")]
            queued, *others = told[execution_id]
            assert (queued["type"], queued["seq"]) == ("execution_queued", 0)
            assert [{**each, "graph_id": graph_id} for each in wholes] == [
                {name: each[name] for name in ("seq", "type", "data", "at", "graph_id")} for each in others
            ]
    assert len(told) == KILLS + 1
