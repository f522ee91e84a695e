"""The worker process: takes workflow tasks and activities from Temporal. Any number of it may run, on any machines.

A root: reads settings, connects, owns signals and the exit code. What a worker serves is decided in
`app.temporal_worker`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import sys
from collections.abc import Sequence

import structlog
from temporalio.worker import Worker

from app.database import AWAY
from app.embedded.home import Home
from app.patience import patiently
from app.roots import run_root, temporal_target
from app.settings import Settings, SettingsRefused, reveal
from app.temporal import connect
from app.temporal_worker import WorkerConfig, make_workers

CONCURRENCY = 100

log = structlog.get_logger("app.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is asked to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="worker.py", description="Run a Perdure worker.")
    parser.add_argument(
        "--pool", action="append", default=[], metavar="NAME", help="serve only this pool; repeatable"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=CONCURRENCY,
        metavar="N",
        help="remote blocks at once (%(default)s)",
    )
    given = parser.parse_args(arguments)
    if given.concurrency < 1:
        parser.error("--concurrency must be at least 1")
    return run_root("worker", main=functools.partial(run, pools=given.pool, concurrency=given.concurrency))


async def run(settings: Settings, *, pools: Sequence[str], concurrency: int) -> None:
    """Take work until cancelled; then give running blocks some time to end."""
    settings = with_embedded_stack(settings) if settings.is_embedded else settings
    settings.require_worker_secrets()
    target = temporal_target(settings)
    config = make_config(settings, pools=pools, concurrency=concurrency)
    client = await patiently(lambda: connect(target), service="temporal", away=(RuntimeError,))
    async with contextlib.AsyncExitStack() as resources:
        workers = await patiently(
            lambda: resources.enter_async_context(make_workers(client, config)),
            service="postgres",
            away=AWAY,
        )
        await serve(workers)


async def serve(workers: Sequence[Worker]) -> None:
    """Run workers until cancelled or until one of them fails."""
    running = [asyncio.create_task(worker.run()) for worker in workers]
    log.info("worker_ready", task_queues=[worker.task_queue for worker in workers])
    try:
        # Not gather: cancelling a running worker would end its blocks without the time that they are promised.
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        await asyncio.gather(*running)


def make_config(settings: Settings, *, pools: Sequence[str], concurrency: int) -> WorkerConfig:
    """Return what a worker needs to know."""
    assert settings.database_url is not None
    return WorkerConfig(
        database_url=settings.database_url,
        task_queue=settings.task_queue,
        pools=tuple(pools),
        concurrency=concurrency,
        llm_base_url=settings.llm_base_url,
        openai_api_key=reveal(settings.openai_api_key),
        anthropic_api_key=reveal(settings.anthropic_api_key),
        allowed_private_hosts=settings.allowed_private_hosts,
    )


def with_embedded_stack(settings: Settings) -> Settings:
    """Return the settings of a further worker for the server that runs on our folder.

    Raises:
        SettingsRefused: No server runs there.
    """
    home = Home(settings.home)
    info = home.run_info()
    if info is None:
        raise SettingsRefused(
            f"No server runs on {settings.home}: start server.py first, "
            "or set PERDURE_DATABASE_URL and PERDURE_TEMPORAL_ADDRESS"
        )
    found = {
        "database_url": info.database_url,
        "temporal_address": info.temporal_address,
        "encryption_key": settings.encryption_key or home.secrets().encryption_key,
    }
    return Settings(**{**settings.model_dump(), **found})


if __name__ == "__main__":
    sys.exit(main())
