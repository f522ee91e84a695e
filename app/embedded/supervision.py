"""Services are started again when they end; how long to wait before is decided here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import structlog

from app.embedded.processes import EmbeddedStackFailed

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 10.0
_STEADY_SECONDS = 30.0
"""A service that ran for this long has recovered: its next death counts as a first one."""

log = structlog.get_logger("app.embedded")


class Service(Protocol):
    """Something that runs as a child process."""

    @property
    def name(self) -> str:
        """What it is called in logs."""

    @property
    def pid(self) -> int | None:
        """Process id, when it runs."""

    async def start(self) -> None:
        """Start it and return when it can be used."""

    async def wait(self) -> int:
        """Return its exit code when it has ended."""

    async def stop(self) -> None:
        """Stop it; nothing happens when it does not run."""


@contextlib.asynccontextmanager
async def kept_running(services: Sequence[Service], *, on_start: Callable[[], None]) -> AsyncIterator[None]:
    """Start services again whenever they end, until the block ends. It neither starts nor stops them otherwise.

    Args:
        services: Services that run.
        on_start: Called after each start, when process ids have changed.
    """
    watching = [asyncio.create_task(_watch(service, on_start)) for service in services]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def _watch(service: Service, on_start: Callable[[], None]) -> None:
    clock = asyncio.get_running_loop().time
    delay = _FIRST_DELAY_SECONDS
    while True:
        started_at = clock()
        exit_code = await service.wait()
        if clock() - started_at > _STEADY_SECONDS:
            delay = _FIRST_DELAY_SECONDS
        log.warning("child_ended", name=service.name, exit_code=exit_code, restart_in_seconds=delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
        try:
            await service.start()
        except EmbeddedStackFailed as error:
            log.error("child_start_failed", name=service.name, reason=error.message)
        else:
            log.info("child_restarted", name=service.name, pid=service.pid)
            on_start()
