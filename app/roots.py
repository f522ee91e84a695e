"""What the roots `server.py` and `worker.py` do the same way: settings, log, signals, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
import uvloop

from app.activities.contracts.execution import DEFAULT_MAX_NODE_EXECUTIONS, ExecutionLimits
from app.blocks.choice import BlockChoice
from app.errors import PerdureError
from app.files.store import FileLimits
from app.llm.routing import Routes
from app.log import configure_log
from app.objects import ObjectStore
from app.outbound.mail import MailServer
from app.payments.payments import PaymentService
from app.settings.connections import POSTGRES
from app.settings.settings import Settings, read_settings, reveal
from app.temporal import TemporalTarget, make_tls

if TYPE_CHECKING:
    from app.telemetry.tracing import Tracing

MEGABYTE = 1024 * 1024

log = structlog.get_logger("app.roots")


def run_root(
    process: str,
    *,
    main: Callable[[Settings], Coroutine[Any, Any, None]],
    ends_on_second_request: bool = False,
) -> int:
    """Run a process until it is asked to stop, and return its exit code.

    Args:
        process: What it is called in the log.
        main: The work; it is cancelled on SIGTERM and SIGINT and then cleans up.
        ends_on_second_request: End at once when asked a second time. Not for a process that would leave others behind.
    """
    # Modules stay for good: no search for garbage has to go over them, neither while they load, where it takes a
    # sixth of the time until a process is ready, nor later.
    gc.freeze()
    gc.enable()
    # Whatever is written holds data of users or leads to it.
    os.umask(0o077)
    try:
        settings = read_settings()
        configure_log(settings.log_format, process=process)
        uvloop.run(_until_asked_to_stop(main(settings), is_patient=not ends_on_second_request))
    except PerdureError as error:
        # One line for a person, whatever the form of the log.
        print(f"perdure: {error.message}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _until_asked_to_stop(work: Coroutine[Any, Any, None], *, is_patient: bool) -> None:
    running = asyncio.create_task(work)
    is_stopping = False

    def stop(request: signal.Signals) -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            log.info("process_stopping")
            running.cancel()
        elif not is_patient:
            # As a shell counts it for a process that a signal has ended. Nothing is cleaned up.
            os._exit(128 + request)

    for request in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(request, stop, request)
    try:
        await running
    except asyncio.CancelledError:
        if not is_stopping:
            raise
    log.info("process_stopped")


@contextlib.contextmanager
def traced(settings: Settings, *, process: str) -> Iterator[Tracing | None]:
    """Give what traces a process, or None when nobody is to be told."""
    if settings.otlp_endpoint is None:
        yield None
        return
    from app.telemetry.tracing import make_tracing  # noqa: PLC0415 - as below

    tracing = make_tracing(settings.otlp_endpoint, process=process)
    try:
        yield tracing
    finally:
        tracing.close()


def object_store(settings: Settings) -> ObjectStore | None:
    """Return where bodies of large values are kept, or None for the database."""
    if settings.value_store == POSTGRES:
        return None
    from app.s3 import S3Objects  # noqa: PLC0415 - its library costs whoever does not use it time and memory

    return S3Objects(settings.value_store)


def payment_service(settings: Settings) -> PaymentService | None:
    """Return who takes the money for credits, or None when none can be bought."""
    api_key, webhook_secret = reveal(settings.stripe_api_key), reveal(settings.stripe_webhook_secret)
    if api_key is None or webhook_secret is None:
        return None
    from app.payments.stripe import StripePayments  # noqa: PLC0415 - as above

    return StripePayments(api_key=api_key, webhook_secret=webhook_secret, api_base=settings.stripe_api_base)


def mail_server(settings: Settings) -> MailServer | None:
    """Return over which server users are written to, or None when they are not."""
    if settings.smtp_host is None or settings.smtp_from is None:
        return None
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_from,
        settings.smtp_tls,
        settings.smtp_username,
        reveal(settings.smtp_password),
    )


def block_choice(settings: Settings) -> BlockChoice:
    """Return which blocks there are and which of them are on."""
    return BlockChoice(
        disabled=settings.disabled_blocks, packages=settings.block_packages, settings=settings.made
    )


def own_services(settings: Settings) -> tuple[str, ...]:
    """Return `host:port` of what this system is made of, which no block may reach."""
    usual_ports = {"postgresql+asyncpg": 5432, "redis": 6379, "http": 80, "https": 443}
    temporal = f"temporal://{settings.temporal_address}"
    urls = (temporal, settings.temporal_ui_url, settings.database_url, reveal(settings.redis_url))
    parts = [urlsplit(url) for url in urls if url]
    return tuple(
        f"{each.hostname}:{each.port or usual_ports.get(each.scheme, 7233)}"
        for each in parts
        if each.hostname
    )


def execution_limits(settings: Settings) -> ExecutionLimits:
    """Return the bounds of an execution that asks for none."""
    return ExecutionLimits(
        window=settings.window,
        heartbeat_seconds=settings.heartbeat_seconds,
        timeout_seconds=settings.execution_timeout_seconds,
        max_node_executions=min(settings.max_node_executions, DEFAULT_MAX_NODE_EXECUTIONS),
        events_per_run=settings.events_per_run,
        shard_size=settings.shard_size,
    )


def file_limits(settings: Settings) -> FileLimits:
    """Return how much of files may be kept."""
    return FileLimits(
        file_bytes=settings.max_file_mb * MEGABYTE, quota_bytes=settings.file_quota_mb * MEGABYTE
    )


def model_routes(settings: Settings) -> Routes:
    """Return which language models are asked for those that are named."""
    return Routes(
        settings.llm_api_keys.keys(),
        has_base_url=bool(settings.llm_base_url),
        default_model=settings.default_model,
        model_map=settings.model_map,
    )


def temporal_target(settings: Settings, *, address: str | None = None) -> TemporalTarget:
    """Return where Temporal is and how to speak to it.

    Args:
        settings: Of this process.
        address: host:port to use instead of the one in the settings.

    Raises:
        OSError: A certificate cannot be read.
    """
    return TemporalTarget(
        address=address or settings.temporal_address or "",
        namespace=settings.temporal_namespace,
        tls=make_tls(
            is_on=settings.temporal_tls,
            ca=settings.temporal_tls_ca,
            cert=settings.temporal_tls_cert,
            key=settings.temporal_tls_key,
            domain=settings.temporal_tls_domain,
        ),
        api_key=reveal(settings.temporal_api_key),
        encryption_keys=settings.encryption_keys,
    )
