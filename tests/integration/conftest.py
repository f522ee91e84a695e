"""Fixtures of tests that run the API in their own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.client import Client

from app.activities.contracts.execution import ExecutionLimits
from app.api.services.upkeep import schedule_id
from tests.deployment import Deployment
from tests.engine import Engine, make_engine
from tests.rest_api import RestApi, run_api


@pytest.fixture
def stop_deadline_seconds() -> float:
    """How long a stop waits before it terminates. Where no worker is, tests say less: it is waited for nobody."""
    return 4.0


@pytest.fixture
async def api(engine: Engine, client: Client, stop_deadline_seconds: float) -> AsyncIterator[RestApi]:
    """An API whose executions go to the test's own task queue. There is no worker unless the test runs one."""

    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        temporal_ui_url="http://ui.test",
        stop_deadline_seconds=stop_deadline_seconds,
    ) as running:
        yield running


@pytest.fixture
async def alice(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a user of the test's own."""
    async with api.caller() as client:
        yield client


@pytest.fixture
async def bob(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client of somebody else."""
    async with api.caller() as client:
        yield client


@pytest.fixture
async def worker(engine: Engine) -> AsyncIterator[None]:
    """A worker for the API's executions."""
    async with engine.worker():
        yield


@pytest.fixture
async def deployment(client: Client, own_database_url: str) -> AsyncIterator[Deployment]:
    """An API over a database of its own, whose reconciler runs every second."""

    async def connect() -> Client:
        return client

    async with (
        make_engine(client, own_database_url) as engine,
        run_api(
            own_database_url,
            connect,
            task_queue=engine.task_queue,
            reconcile_seconds=1.0,
            reconciler_silent_seconds=4.0,
            timeout_margin_seconds=0.0,
            limits=ExecutionLimits(timeout_seconds=3600),
        ) as api,
        api.caller() as caller,
    ):
        yield Deployment(engine, caller)
        await client.get_schedule_handle(schedule_id(engine.task_queue)).delete()


@pytest.fixture
async def working(deployment: Deployment) -> AsyncIterator[None]:
    """A worker for the deployment's executions."""
    async with deployment.engine.worker():
        yield
