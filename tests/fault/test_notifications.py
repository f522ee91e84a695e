"""Workers that die while they deliver a notification: it comes all the same, under the same id."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from temporalio.client import Client

from tests.notifications import HERE, ended, notify, receiving, try_out
from tests.processes import WorkerProcess
from tests.rest_api import run_api


@pytest.mark.timeout(120)
async def test_a_worker_that_dies_in_the_middle_of_a_delivery_loses_nothing(
    client: Client, database_url: str, task_queue: str, worker_process: Callable[..., WorkerProcess]
) -> None:
    async def connect() -> Client:
        return client

    async with (
        run_api(database_url, connect, task_queue=task_queue, allowed_private_hosts=HERE) as api,
        api.caller() as caller,
        receiving() as receiver,
    ):
        made = await notify(caller, f"{receiver.url}/held")
        first = worker_process(ALLOWED_PRIVATE_HOSTS="127.0.0.1")
        delivery = await try_out(caller, made)
        await receiver.has(1)
        first.kill()
        receiver.let_go.set()
        worker_process(ALLOWED_PRIVATE_HOSTS="127.0.0.1")
        [row] = await ended(caller, made, "delivered")

        for message in receiver.messages:
            assert message.verify(made["secret"])["type"] == "notification.test"
    assert row["attempts"] == 1, "what was not recorded was no attempt"
    assert [message.id for message in receiver.messages] == [delivery["id"]] * 2
