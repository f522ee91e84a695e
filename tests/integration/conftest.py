"""Fixtures of tests that run the API in their own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.client import Client

from tests.engine import Engine
from tests.rest_api import RestApi, run_api


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    """An API whose executions go to the test's own task queue. There is no worker unless the test runs one."""

    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        temporal_ui_url="http://ui.test",
        stop_deadline_seconds=4.0,
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
