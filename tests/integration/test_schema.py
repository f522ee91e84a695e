"""Every route with inputs of all kinds: what it answers is what the OpenAPI document says, and never a crash.

`SCHEMA_EXAMPLES=200 pytest tests/integration/test_schema.py` tries more than the few of the usual run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from structlog.testing import capture_logs

from app.api.auth import issue_token
from tests.e2e.rest import save, start, sums
from tests.rest_api import SECRET, RestApi

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SETTINGS = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
async def callers(api: RestApi) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A user and an admin."""
    admin = issue_token(SECRET, email=f"{uuid.uuid4()}@example.org", role="admin")
    async with AsyncExitStack() as clients:
        yield [
            await clients.enter_async_context(api.caller()),
            await clients.enter_async_context(api.caller(token=admin)),
        ]


async def make_known(user: httpx.AsyncClient) -> dict[str, str]:
    """Return ids of things that there are, by the name of the parameter."""
    graph = await save(user, sums())
    execution = await start(user, graph)
    await user.put(f"/api/graphs/{graph}/publication", json={"slug": "sums"})
    return {"graph_id": graph, "execution_id": execution["id"], "version": "1", "slug": "sums"}


@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(0 if "SCHEMA_EXAMPLES" in os.environ else 300)
async def test_every_route_answers_as_the_document_says(
    api: RestApi, callers: list[httpx.AsyncClient]
) -> None:
    known = await make_known(callers[0])
    loop = asyncio.get_running_loop()
    schema = schemathesis.openapi.from_dict(api.application.openapi())
    problems: dict[str, str] = {}
    answers: Counter[int] = Counter()

    def ask(case: Any, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            case.path_parameters = {
                name: known.get(name, value) for name, value in case.path_parameters.items()
            }
        for name in ("wait", "timeout"):
            if name in (case.query or {}):
                case.query[name] = 0
        prepared: Any = requests.Request(**case.as_transport_kwargs(base_url="http://api.test")).prepare()
        client = data.draw(st.sampled_from(callers))
        sending = client.request(
            prepared.method or "",
            prepared.url or "",
            content=prepared.body,
            headers={
                name: value for name, value in prepared.headers.items() if name.lower() not in HEADERS_OF_OURS
            },
        )
        response = asyncio.run_coroutine_threadsafe(sending, loop).result(timeout=60)
        answers[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    def try_all() -> None:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            with_data = given(case=operation.as_strategy(), data=st.data())
            try:
                SETTINGS(with_data(ask))()
            except (Exception, FailureGroup) as error:  # noqa: BLE001 - all of them are told of at the end
                problems[operation.label] = str(error)

    with capture_logs():
        await asyncio.to_thread(try_all)

    assert problems == {}, "\n\n".join(f"{name}: {text}" for name, text in problems.items())
    sys.stdout.write(f"{answers.total()} requests: {dict(sorted(answers.items()))}\n")
    assert answers.total() > EXAMPLES * 30


HEADERS_OF_OURS = frozenset({"content-length", "authorization", "x-api-key"})
