"""What clients do with their executions during a round: start, follow, pause, resume, stop, watch the end come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.e2e.rest import TERMINAL
from tests.fault.harness.clients import LAST_EVENTS, Client
from tests.fault.harness.evidence import Witness
from tests.stack import eventually

SETTLED_SECONDS = 120.0
LOOK_SECONDS = 0.4


@dataclass(frozen=True)
class Journey:
    """What the client of one execution does."""

    case: int
    """Number of the graph."""
    after_seconds: float = 0.0
    """When it starts, from the begin of the round."""
    is_followed: bool = False
    """Whether it reads the event stream."""
    gives_up: bool = False
    """Whether it takes the first refusal of its start for an answer."""
    deed: str = ""
    """`stop`, `pause` (and resume later), `rerun` (once it has ended), or nothing."""
    deed_seconds: float = 0.0
    """When it does that, from its start."""
    rerun_from: float = 0.0
    """From which node it is run again: from the first at 0, from the last at 1."""


def plan_journeys(random: Random, count: int, *, cases: int) -> Sequence[Journey]:
    """Return that many journeys."""
    return [
        Journey(
            case=random.randrange(cases),
            after_seconds=random.uniform(0, 6),
            is_followed=random.random() < 0.4,
            gives_up=random.random() < 0.1,
            deed=random.choice(["", "", "", "", "", "pause", "pause", "stop", "rerun"]),
            deed_seconds=random.uniform(0.05, 2.5),
            rerun_from=random.random(),
        )
        for _ in range(count)
    ]


async def travel(client: Client, journey: Journey, witness: Witness, graph_id: str) -> None:
    """Start an execution and see it to its end; one that was started before is only seen to its end.

    Raises:
        AssertionError: An API has answered what it must not.
    """
    await asyncio.sleep(journey.after_seconds)
    if not witness.execution_id and not await _start(client, journey, witness, graph_id):
        return
    path = f"/api/executions/{witness.execution_id}"
    async with asyncio.TaskGroup() as together:
        # Visible from now on, whatever has died since.
        together.create_task(_watch(client, path, witness))
        if journey.is_followed:
            together.create_task(_follow(client, witness))
        if journey.deed in {"stop", "pause"}:
            await asyncio.sleep(journey.deed_seconds)
            await (_stop if journey.deed == "stop" else _pause)(client, path, witness)
    if journey.deed == "rerun":
        await _rerun(client, journey, path, witness)


async def _start(client: Client, journey: Journey, witness: Witness, graph_id: str) -> bool:
    """Start it, and again under the same key: the answer is the same execution. Return whether it was accepted."""
    ask = client.ask_once if journey.gives_up else client.ask
    headers = {"Idempotency-Key": witness.key}
    body: dict[str, Any] = {"inputs": witness.case.inputs}
    if witness.case.secret_key:
        body["credentials_inputs"] = {witness.case.secret_key: {"id": client.credentials_id}}
    path = f"/api/graphs/{graph_id}/execute"
    response = await ask("POST", path, json=body, headers=headers)
    if response is None:
        return False
    assert response.status_code == 200, f"A start was answered {response.status_code}: {response.text}"
    witness.execution_id = response.json()["id"]
    again = await client.ask_once("POST", path, json=body, headers=headers)
    if again is not None:
        assert again.status_code == 200, f"A repeated start was answered {again.status_code}: {again.text}"
        assert again.json()["id"] == witness.execution_id, "A repeated start has started another execution"
    return True


async def _watch(client: Client, path: str, witness: Witness) -> None:
    while not witness.statuses or witness.statuses[-1] not in TERMINAL:
        witness.see((await client.read(path))["status"])
        if witness.case.has_reviews:
            await _approve(client, path)
        await asyncio.sleep(LOOK_SECONDS)
    # Where Temporal alone knows of the end, the API says so at once, and its record is settled a moment later.
    await eventually(lambda: _is_settled(client, path), timeout_seconds=SETTLED_SECONDS)


async def _is_settled(client: Client, path: str) -> bool:
    return bool({event["type"] for event in await client.read_all(f"{path}/events")} & LAST_EVENTS)


async def _approve(client: Client, path: str) -> None:
    for asked in await client.read_all(f"{path}/reviews", status="open"):
        answer = f"{path}/reviews/{asked['node_execution_id']}"
        response = await client.ask("POST", answer, json={"approved": True})
        assert response.status_code in {200, 409}, f"{answer}: {response.status_code} {response.text}"


async def _follow(client: Client, witness: Witness) -> None:
    witness.streamed = await client.follow(witness.execution_id)


async def _stop(client: Client, path: str, witness: Witness) -> None:
    response = await client.ask("POST", f"{path}/stop")
    assert response.status_code == 200, f"A stop was answered {response.status_code}: {response.text}"
    witness.stop_answer = response.json()["status"]


async def _pause(client: Client, path: str, _: Witness) -> None:
    for deed in ("pause", "resume"):
        response = await client.ask("POST", f"{path}/{deed}")
        assert response.status_code in {200, 409}, f"{deed}: {response.status_code} {response.text}"
        await asyncio.sleep(LOOK_SECONDS)


async def _rerun(client: Client, journey: Journey, path: str, witness: Witness) -> None:
    """Run it again from one of its nodes, with all that follows from it; the rest is taken over."""
    nodes = witness.case.body["nodes"]
    node = nodes[min(int(journey.rerun_from * len(nodes)), len(nodes) - 1)]["id"]
    key = f"{witness.key}-again"
    response = await client.ask(
        "POST",
        f"{path}/rerun",
        json={"from_nodes": [node], "confirm": True},
        headers={"Idempotency-Key": key},
    )
    assert response.status_code == 200, f"A rerun was answered {response.status_code}: {response.text}"
    witness.rerun = Witness(witness.case, key, response.json()["id"])
    await _watch(client, f"/api/executions/{witness.rerun.execution_id}", witness.rerun)
