"""The API process. With nothing configured also Postgres, Temporal and a worker, embedded.

A root: reads settings, puts things together, owns signals and the exit code. Decides nothing about graphs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    # What is made while modules load stays; `run_root` lets the search for garbage begin after it.
    gc.disable()

import structlog
from pydantic import SecretStr
from temporalio.client import Client, Interceptor

from app.api.application import make_application
from app.api.auth import issue_token
from app.api.config import ApiConfig
from app.api.edge.rate_limits import RateRules
from app.api.metrics import MetricsAccess, route_of
from app.api.services.top_ups import Sale
from app.api.web_ui import codec_endpoint, make_capability
from app.blocks.registry import make_registry
from app.embedded.deployment import run_deployment
from app.embedded.home import Home, RunInfo
from app.embedded.ports import bind
from app.migrating import migrate
from app.patience import patiently
from app.proxies import TrustedProxies
from app.roots import (
    block_choice,
    execution_limits,
    file_limits,
    model_routes,
    object_store,
    payment_service,
    run_root,
    temporal_target,
    traced,
)
from app.serving import serving, url_of
from app.settings.settings import Settings, reveal
from app.temporal import connect, register_search_attributes
from app.web_origins import parse_origins

if TYPE_CHECKING:
    from app.telemetry.tracing import Tracing

DEVELOPER = "developer@localhost"
TOKEN_LIFETIME_SECONDS = 30 * 86_400

log = structlog.get_logger("app.server")


@dataclass(frozen=True)
class Surroundings:
    """What the API needs around it, and how to tell that it is ready."""

    config: ApiConfig
    connect: Callable[[], Awaitable[Client]]
    announce: Callable[[str], RunInfo]


def main() -> int:
    """Run the server until it is asked to stop; return the exit code."""
    return run_root("server", main=run)


async def run(settings: Settings) -> None:
    """Run the API, and the embedded stack below it when nothing is configured."""
    home = Home(settings.home)
    # Refused, if it is, before anything is started.
    make_registry(block_choice(settings))
    # The folder and the port are taken first: nothing is started, and so nothing left running, when they are not free.
    with contextlib.ExitStack() as taken:
        if settings.is_embedded:
            taken.enter_context(home.held())
        listening = taken.enter_context(bind(settings.host, settings.port, setting="PERDURE_PORT"))
        tracing = taken.enter_context(traced(settings, process="server"))
        surroundings = (
            embedded(settings, home, api_url=url_of(listening), tracing=tracing)
            if settings.is_embedded
            else external(settings, home, tracing=tracing)
        )
        async with (
            surroundings as around,
            serving(make_application(around.config, around.connect), listening) as api,
        ):
            info = around.announce(url_of(listening))
            show(info, token=development_token(around.config) if settings.is_embedded else None)
            log.info("server_ready", api_url=info.api_url, worker_pids=info.worker_pids)
            await api.until_it_ends()


@contextlib.asynccontextmanager
async def embedded(
    settings: Settings, home: Home, *, api_url: str, tracing: Tracing | None
) -> AsyncIterator[Surroundings]:
    """Run Postgres, Temporal and workers of our own."""
    key = settings.encryption_key or SecretStr(home.secrets().encryption_key)
    settings = settings.model_copy(update={"encryption_key": key})
    capability = make_capability(settings.encryption_keys[0])
    async with run_deployment(
        settings,
        home,
        worker_script=Path(__file__).with_name("worker.py"),
        api_url=settings.public_url or api_url,
        ui_codec_endpoint=codec_endpoint(api_url, capability),
    ) as deployment:
        config = make_api_config(
            settings,
            database_url=deployment.stack.database_url,
            temporal_ui_url=deployment.stack.temporal_ui_url,
            made_jwt_secret=home.secrets().jwt_secret,
            codec_capability=capability,
            api_url=api_url,
            tracing=tracing,
        )
        stack, interceptors = deployment.stack, interceptors_of(tracing)
        yield Surroundings(config, lambda: stack.connect(interceptors=interceptors), deployment.announce)


@contextlib.asynccontextmanager
async def external(settings: Settings, home: Home, *, tracing: Tracing | None) -> AsyncIterator[Surroundings]:
    """Use a Postgres and a Temporal that somebody else runs; workers are started apart."""
    settings.require_api_secrets()
    database_url, temporal_address = settings.database_url, settings.temporal_address
    assert database_url is not None
    assert temporal_address is not None
    await patiently(lambda: migrate(database_url), service="postgres", away=(OSError,))

    async def connect_and_register() -> Client:
        client = await connect(temporal_target(settings), interceptors=interceptors_of(tracing))
        await register_search_attributes(client)
        return client

    def announce(api_url: str) -> RunInfo:
        info = RunInfo(
            api_url=api_url,
            temporal_address=temporal_address,
            temporal_ui_url=settings.temporal_ui_url,
            database_url=database_url,
            pid=os.getpid(),
            worker_pids=[],
        )
        home.write_run_info(info)
        return info

    config = make_api_config(
        settings,
        database_url=database_url,
        temporal_ui_url=settings.temporal_ui_url,
        tracing=tracing,
    )
    try:
        yield Surroundings(config, connect_and_register, announce)
    finally:
        home.remove_run_info()


def interceptors_of(tracing: Tracing | None) -> Sequence[Interceptor]:
    """Return what goes along with every call to Temporal."""
    return [tracing.interceptor] if tracing else []


def make_api_config(
    settings: Settings,
    *,
    database_url: str,
    temporal_ui_url: str | None,
    made_jwt_secret: str | None = None,
    codec_capability: str | None = None,
    api_url: str | None = None,
    tracing: Tracing | None = None,
) -> ApiConfig:
    """Return what the API needs to know."""
    jwt_secret = reveal(settings.jwt_secret) or (None if settings.jwt_jwks_url else made_jwt_secret)
    return ApiConfig(
        database_url=database_url,
        temporal_namespace=settings.temporal_namespace,
        temporal_ui_url=temporal_ui_url,
        api_url=settings.public_url or api_url,
        task_queue=settings.task_queue,
        jwt_secret=jwt_secret,
        jwt_jwks_url=settings.jwt_jwks_url,
        jwt_issuer=settings.jwt_issuer,
        jwt_audience=settings.jwt_audience,
        jwt_leeway_seconds=settings.jwt_leeway_seconds,
        encryption_keys=settings.encryption_keys,
        oauth_providers=settings.oauth,
        allowed_private_hosts=settings.allowed_private_hosts,
        sends_mail=settings.smtp_host is not None,
        codec_capability=codec_capability,
        blocks=block_choice(settings),
        models=model_routes(settings),
        initial_credits=settings.initial_credits,
        payments=payment_service(settings),
        sale=Sale(
            return_url=settings.public_url or Sale.return_url, credit_price_cents=settings.credit_price_cents
        ),
        objects=object_store(settings),
        file_limits=file_limits(settings),
        limits=execution_limits(settings),
        most_node_executions=settings.max_node_executions,
        rates=rate_rules(settings),
        trusted_proxies=TrustedProxies.parse(settings.trusted_proxies),
        cors_origins=parse_origins(settings.cors_origins),
        is_https=settings.https,
        streams_per_user=settings.streams_per_user,
        schedules_per_user=settings.schedules_per_user,
        request_tracing=tracing.requests_of(route_of) if tracing else None,
        metrics_access=MetricsAccess(settings.metrics_open, reveal(settings.metrics_token)),
        stop_deadline_seconds=settings.stop_deadline_seconds,
        reconcile_seconds=settings.reconcile_seconds,
    )


def rate_rules(settings: Settings) -> RateRules:
    """Return how many requests a caller may make."""
    return RateRules(
        per_user=settings.rate_limit,
        starts_per_user=settings.start_rate_limit,
        per_address=settings.address_rate_limit,
        redis_url=reveal(settings.redis_url),
    )


def development_token(config: ApiConfig) -> str | None:
    """Return a token to try things with, or None when tokens come from elsewhere."""
    if config.jwt_secret is None:
        return None
    return issue_token(
        config.jwt_secret,
        email=DEVELOPER,
        lifetime_seconds=TOKEN_LIFETIME_SECONDS,
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
    )


def show(info: RunInfo, *, token: str | None) -> None:
    """Print for a person how to reach the server."""
    lines = {
        "API": info.api_url,
        "API docs": f"{info.api_url}/docs",
        "Temporal": info.temporal_address,
        "Temporal UI": info.temporal_ui_url,
        "Postgres": info.database_url if token else None,
        "Process": f"{info.pid}, workers {', '.join(map(str, info.worker_pids)) or 'elsewhere'}",
    }
    text = "\n".join(f"  {name:<12} {value}" for name, value in lines.items() if value)
    if token:
        text += f"\n\n  Token of {DEVELOPER} for {TOKEN_LIFETIME_SECONDS // 86_400} days:\n  {token}"
    print(f"\nPerdure is ready\n\n{text}\n", flush=True)  # noqa: T201 - for a person


if __name__ == "__main__":
    sys.exit(main())
