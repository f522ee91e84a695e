"""Days of attempts, in a Temporal whose clock is turned forward while everybody waits."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from app.notifying.rules import DeliveryRules
from app.starting.deliveries import delivery_workflow_id
from app.telemetry.series import DELIVERED, DELIVERIES, GIVEN_UP, RETRYING
from tests.engine import Engine
from tests.notifications import HERE, deliveries_of, delivering, ended, notify, receiving, try_out
from tests.rest_api import run_api

SERVER = Path(sys.executable).with_name("temporal-test-server")


@pytest.fixture
async def turning() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal that turns its clock forward."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(SERVER)
    ) as running:
        yield running


async def test_a_delivery_is_tried_for_three_days_then_given_up_and_can_be_begun_anew(
    engine: Engine, turning: WorkflowEnvironment
) -> None:
    async def connect() -> Client:
        return turning.client

    async with (
        run_api(
            engine.database_url, connect, task_queue=engine.task_queue, allowed_private_hosts=HERE
        ) as api,
        api.caller() as caller,
        delivering(engine, turning.client, delivery_rules=DeliveryRules()),
        receiving() as receiver,
    ):
        url = receiver.url
        made = await notify(caller, "http://127.0.0.1:1/")
        began = await turning.get_current_time()
        delivery = await try_out(caller, made)
        handle = turning.client.get_workflow_handle(delivery_workflow_id(delivery["id"]))
        await turning.sleep(timedelta(days=4))
        failures = await handle.result()
        closed = (await handle.describe()).close_time
        assert closed is not None
        took = closed - began

        [row] = await deliveries_of(caller, made, status="failed")
        assert timedelta(days=3) <= took < timedelta(days=3, minutes=5)
        assert row["attempts"] == failures + 1
        assert 15 < row["attempts"] < 30
        assert row["next_at"] is None
        assert "cannot be reached" in row["log"][-1]["error"]

        await caller.patch(f"/api/notifications/{made['id']}", json={"url": url})
        answer = await caller.post(f"/api/notifications/deliveries/{delivery['id']}/redeliver")
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        [again] = await ended(caller, made, "delivered")
        assert again["id"] == delivery["id"]
        assert again["attempts"] == row["attempts"] + 1
        assert [message.id for message in receiver.messages] == [delivery["id"]]
        counts = engine.tallies.totals()
        outcomes = {RETRYING: failures, GIVEN_UP: 1, DELIVERED: 1}
        assert {name: counts[DELIVERIES.name, ("webhook", name), ""] for name in outcomes} == outcomes
