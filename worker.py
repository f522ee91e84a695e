"""The worker process: takes workflow tasks and activities from Temporal. Any number of it may run, on any machines.

A root: reads settings and arguments, connects, owns signals and the exit code. What a worker serves is decided in
`app.workers`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # What is made while modules load stays; `run_root` lets the search for garbage begin after it.
    gc.disable()

import structlog
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.worker import Worker

from app.blocks.registry import make_registry
from app.database import AWAY
from app.embedded.home import Home
from app.notifying.rules import DeliveryRules
from app.outbound.services import WebServices
from app.patience import patiently
from app.pools import choose_pools, share_out
from app.roots import (
    block_choice,
    execution_limits,
    file_limits,
    mail_server,
    object_store,
    own_services,
    run_root,
    temporal_target,
    traced,
)
from app.settings.settings import Settings, SettingsRefused, reveal
from app.telemetry.tallies import Tallies
from app.temporal import connect
from app.workers.builds import list_builds, make_current
from app.workers.config import CONCURRENCY, WorkerConfig
from app.workers.metrics import metrics_page
from app.workers.opening import make_workers
from app.workers.tuning import CPU_SHARE, MEMORY_SHARE, Targets

if TYPE_CHECKING:
    from app.telemetry.tracing import Tracing

log = structlog.get_logger("app.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is asked to stop, or do what else was asked for; return the exit code."""
    given = make_parser().parse_args(arguments)
    if given.builds or given.make_current:
        return run_root("worker", main=functools.partial(tend_builds, current=given.make_current))
    return run_root("worker", main=functools.partial(run, given=given), ends_on_second_request=True)


def make_parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    parser = argparse.ArgumentParser(prog="worker.py", description="Run a Perdure worker.")
    add = parser.add_argument
    repeatable: dict[str, Any] = {"action": "append", "default": []}
    add(
        "--pool",
        metavar="NAME",
        help="serve only this pool; repeatable; `default` is the common one",
        **repeatable,
    )
    add(
        "--concurrency",
        metavar="[POOL=]N",
        type=_allotment,
        help=f"remote blocks at once, of each pool or of one; repeatable ({CONCURRENCY})",
        **repeatable,
    )
    add(
        "--tune-memory", type=_share, metavar="SHARE", help="take no further block above this share of memory"
    )
    add("--tune-cpu", type=_share, metavar="SHARE", help="take no further block above this share of CPU")
    add("--cached-executions", type=_number, metavar="N", help="executions kept in memory between two tasks")
    add("--build-id", metavar="ID", help="the build that this worker is, instead of PERDURE_BUILD_ID")
    add("--make-current", metavar="ID", help="have new executions begin on this build, and end")
    add("--builds", action="store_true", help="list the builds, and end")
    return parser


async def run(settings: Settings, *, given: argparse.Namespace) -> None:
    """Take work until cancelled; then give running blocks some time to end."""
    settings = with_embedded_stack(settings) if settings.is_embedded else settings
    settings.require_worker_secrets()
    config = make_config(settings, given)
    tallies = Tallies()
    async with contextlib.AsyncExitStack() as resources:
        page = None
        if settings.worker_metrics_port is not None:
            page = resources.enter_context(
                metrics_page(tallies, host=settings.host, port=settings.worker_metrics_port)
            )
        tracing = resources.enter_context(traced(settings, process="worker"))
        client = await _connect(settings, runtime=page.runtime if page else None, tracing=tracing)
        workers = await patiently(
            lambda: resources.enter_async_context(make_workers(client, config, tallies=tallies)),
            service="postgres",
            away=AWAY,
        )
        await serve(workers)


async def tend_builds(settings: Settings, *, current: str | None) -> None:
    """Make a build the current one if told so, and list the builds."""
    settings = with_embedded_stack(settings) if settings.is_embedded else settings
    client = await _connect(settings)
    if current:
        await make_current(client, settings.task_queue, current)
    for build in await list_builds(client, settings.task_queue):
        print(f"{build.build_id}\t{build.status}")  # noqa: T201 - what was asked for


async def _connect(
    settings: Settings, *, runtime: Runtime | None = None, tracing: Tracing | None = None
) -> Client:
    target = temporal_target(settings)
    interceptors = [tracing.interceptor] if tracing else []
    return await patiently(
        lambda: connect(target, interceptors=interceptors, runtime=runtime),
        service="temporal",
        away=(RuntimeError,),
    )


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


def make_config(settings: Settings, given: argparse.Namespace) -> WorkerConfig:
    """Return what a worker needs to know.

    Raises:
        PoolUnknown: The command line names a pool that there is not.
    """
    assert settings.database_url is not None
    blocks = block_choice(settings)
    pools = choose_pools(make_registry(blocks).pools, given.pool)
    targets = None
    if given.tune_memory is not None or given.tune_cpu is not None:
        targets = Targets(given.tune_memory or MEMORY_SHARE, given.tune_cpu or CPU_SHARE)
    return WorkerConfig(
        database_url=settings.database_url,
        task_queue=settings.task_queue,
        blocks=blocks,
        pools=pools,
        concurrency=share_out(pools, given.concurrency, usual=CONCURRENCY),
        targets=targets,
        cached_executions=given.cached_executions,
        llm_base_url=settings.llm_base_url,
        llm_api_keys=settings.llm_api_keys,
        default_model=settings.default_model,
        model_map=settings.model_map,
        encryption_keys=settings.encryption_keys,
        oauth_providers=settings.oauth,
        allowed_private_hosts=settings.allowed_private_hosts,
        own_services=own_services(settings),
        executes_code=settings.code_sandbox is not None,
        web=WebServices(
            search_url=settings.search_url,
            search_api_key=reveal(settings.search_api_key),
            wikipedia_url=settings.wikipedia_url,
            chromium=settings.chromium,
        ),
        objects=object_store(settings),
        file_limits=file_limits(settings),
        execution_file_days=settings.execution_file_days,
        running_per_user=settings.running_per_user,
        limits=execution_limits(settings),
        most_node_executions=settings.max_node_executions,
        mail=mail_server(settings),
        api_url=settings.public_url,
        delivery_rules=DeliveryRules(
            patience=timedelta(days=settings.notification_retry_days),
            bears=timedelta(days=settings.notification_disable_days),
        ),
        graceful_shutdown_seconds=settings.drain_seconds,
        build_id=given.build_id or settings.build_id,
    )


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _allotment(text: str) -> tuple[str, int]:
    pool, _, number = text.rpartition("=")
    return pool, _number(number)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return share


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
        "temporal_ui_url": settings.temporal_ui_url or info.temporal_ui_url,
        "encryption_key": settings.encryption_key or home.secrets().encryption_key,
    }
    return Settings(**{**settings.model_dump(), **found})


if __name__ == "__main__":
    sys.exit(main())
