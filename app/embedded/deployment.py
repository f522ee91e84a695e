"""Everything that `server.py` runs besides the API when nothing is configured: Postgres, Temporal, workers.

Decides the order in which they start and stop, and keeps them running meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from app.embedded.home import Home, RunInfo
from app.embedded.stack import EmbeddedStack
from app.embedded.supervision import Service, kept_running
from app.embedded.worker_process import EmbeddedWorker
from app.migrating import migrate
from app.settings.settings import PREFIX, Settings, reveal

_WORKER_START_SECONDS = 30.0

log = structlog.get_logger("app.embedded")


class Deployment:
    """A running stack with its workers, and the note of how to reach it."""

    def __init__(self, home: Home, stack: EmbeddedStack, workers: Sequence[EmbeddedWorker]) -> None:
        self.stack = stack
        self._home = home
        self._workers = workers
        self._api_url: str | None = None

    @property
    def services(self) -> list[Service]:
        """Everything that is kept running."""
        return [self.stack.postgres, self.stack.temporal, *self._workers]

    def announce(self, api_url: str) -> RunInfo:
        """Tell others how to reach this server, from now on and after each restart of a child."""
        self._api_url = api_url
        self.note_children()
        return self._info(api_url)

    def note_children(self) -> None:
        """Note which processes run."""
        self._home.remember_children({s.name: s.pid for s in self.services if s.pid is not None})
        if self._api_url is not None:
            self._home.write_run_info(self._info(self._api_url))

    def _info(self, api_url: str) -> RunInfo:
        return RunInfo(
            api_url=api_url,
            temporal_address=self.stack.temporal_address,
            temporal_ui_url=self.stack.temporal_ui_url,
            database_url=self.stack.database_url,
            pid=os.getpid(),
            worker_pids=[worker.pid for worker in self._workers if worker.pid is not None],
        )


@contextlib.asynccontextmanager
async def run_deployment(
    settings: Settings, home: Home, *, worker_script: Path, api_url: str, ui_codec_endpoint: str
) -> AsyncIterator[Deployment]:
    """Run the embedded stack with migrated tables and workers that take work, until the block ends.

    Args:
        settings: Of this process, with an encryption key.
        home: The folder, held by us.
        worker_script: The program `worker.py`.
        api_url: Where people reach the API, for what workers write to them.
        ui_codec_endpoint: Where the Web UI has payloads decrypted.

    Raises:
        EmbeddedStackFailed: Something does not start; nothing is left running then.
    """
    home.remove_run_info()
    home.stop_leftovers()
    stack = EmbeddedStack(
        home.path,
        temporal_port=settings.temporal_port,
        temporal_ui_port=settings.temporal_ui_port,
        namespace=settings.temporal_namespace,
        encryption_keys=settings.encryption_keys,
        ui_codec_endpoint=ui_codec_endpoint,
    )
    try:
        make_workers = partial(_make_workers, settings, stack, worker_script, api_url=api_url)
        async with stack, _workers_on(stack, settings, home, make_workers) as deployment:
            yield deployment
    finally:
        home.forget_children()


@contextlib.asynccontextmanager
async def _workers_on(
    stack: EmbeddedStack, settings: Settings, home: Home, make_workers: Callable[[], list[EmbeddedWorker]]
) -> AsyncIterator[Deployment]:
    await migrate(stack.database_url)
    workers = make_workers()
    deployment = Deployment(home, stack, workers)
    try:
        for worker in workers:
            await worker.start()
        deployment.note_children()
        if workers:
            await _wait_for_pollers(await stack.connect(), settings.task_queue)
        async with kept_running(deployment.services, on_start=deployment.note_children):
            yield deployment
    finally:
        home.remove_run_info()
        await asyncio.gather(*(worker.stop() for worker in workers))


def _make_workers(
    settings: Settings, stack: EmbeddedStack, worker_script: Path, *, api_url: str
) -> list[EmbeddedWorker]:
    environment = {
        f"{PREFIX}DATABASE_URL": stack.database_url,
        f"{PREFIX}TEMPORAL_ADDRESS": stack.temporal_address,
        f"{PREFIX}TEMPORAL_UI_URL": settings.temporal_ui_url or stack.temporal_ui_url,
        f"{PREFIX}PUBLIC_URL": api_url,
        f"{PREFIX}ENCRYPTION_KEY": reveal(settings.encryption_key) or "",
        # A build has to be made current by hand; these are replaced all at once.
        f"{PREFIX}BUILD_ID": "",
    }
    return [
        EmbeddedWorker(
            worker_script,
            name=f"worker-{number}",
            environment=environment,
            drain_seconds=settings.drain_seconds,
        )
        for number in range(1, settings.workers + 1)
    ]


async def _wait_for_pollers(client: Client, task_queue: str) -> None:
    # An execution that is started before would only wait a little; so a slow worker is no reason to fail.
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    deadline = asyncio.get_running_loop().time() + _WORKER_START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(RPCError):
            if (await client.workflow_service.describe_task_queue(request)).pollers:
                return
        await asyncio.sleep(0.1)
    log.warning("worker_not_ready", waited_seconds=_WORKER_START_SECONDS)
