"""What the activities of a process reach the world with: opened before the workers, closed after them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.activities.recorder import Recorder
from app.activities.tokens import TokenFeed
from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.opening import open_sandbox
from app.database import Sessions, make_engine, plain_url
from app.files.store import FileStore
from app.llm.language_models import LanguageModels
from app.outbound.http import OutboundHttp
from app.workers.config import WorkerConfig


@dataclass(frozen=True, slots=True)
class Clients:
    """One of each, shared by all activities."""

    pool: asyncpg.Pool[Any]
    """To the database, for all that executions do."""
    recorder: Recorder
    http: OutboundHttp
    language_models: LanguageModels
    tokens: TokenFeed
    files: FileStore
    sessions: Sessions
    """To the database, for files and for what starts executions."""
    sandbox: BubblewrapSandbox | None
    """Where code is executed; None where no code is."""


@contextlib.asynccontextmanager
async def open_clients(config: WorkerConfig) -> AsyncIterator[Clients]:
    """Open what activities need, and close it afterwards.

    Args:
        config: Of the workers.

    Raises:
        SandboxUnfit: Code is to be executed, and the sandbox does not hold here.
    """
    async with contextlib.AsyncExitStack() as opened:
        pool = await _connect(config.database_url)
        opened.push_async_callback(pool.close)
        sandbox = await open_sandbox() if config.executes_code else None
        if sandbox is not None:
            opened.callback(sandbox.close)
        models = LanguageModels(
            base_url=config.llm_base_url,
            api_keys=config.llm_api_keys,
            default_model=config.default_model,
            model_map=config.model_map,
        )
        opened.push_async_callback(models.aclose)
        http = OutboundHttp(
            allowed_private_hosts=config.allowed_private_hosts, own_services=config.own_services
        )
        opened.push_async_callback(http.aclose)
        # For what the API does in the same way: files, and starting executions. It connects when it is first used.
        database = make_engine(config.database_url, pool_size=2, max_overflow=4)
        opened.push_async_callback(database.dispose)
        recorder = Recorder(pool)
        opened.push_async_callback(recorder.aclose)
        tokens = TokenFeed(pool)
        opened.push_async_callback(tokens.aclose)
        sessions = Sessions(database)
        files = FileStore(sessions, config.objects, limits=config.file_limits)
        yield Clients(pool, recorder, http, models, tokens, files, sessions, sandbox)


async def _connect(database_url: str) -> asyncpg.Pool[Any]:
    return await asyncpg.create_pool(
        plain_url(database_url),
        min_size=2,
        max_size=12,
        init=_use_json,
        # Nothing here changes a session, so a connection needs no round trip to be cleaned.
        reset=_keep,
        # The few statements of the hot path are planned once; planning would cost more than running them.
        server_settings={"plan_cache_mode": "force_generic_plan", "jit": "off"},
    )


async def _keep(_: asyncpg.Connection[Any]) -> None:
    """Leave a connection as it is."""


async def _use_json(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
