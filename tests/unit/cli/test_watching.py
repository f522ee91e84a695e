"""An execution that is watched while the API comes and goes. Against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.commands import invoke
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

ID = "\x1b[2Jx"
PLACE = "/api/executions/x"
AT = "2026-01-01T00:00:00Z"
STREAM = {"content-type": "text/event-stream"}


def an_execution(status: str) -> Answer:
    execution: dict[str, Any] = {
        "id": ID,
        "graph_id": "g",
        "graph_version": 1,
        "status": status,
        "cost": 3,
        "paused_for": None,
        "outputs": {"y": ["\x1b[2J"]},
        "error": None,
        "ended_at": AT,
        "stats": {"duration": 1.0, "node_executions": 1, "retries": 0},
        "temporal": {"web_url": None},
    }
    return Answer.of_json(execution)


def events(*types: str) -> Answer:
    data = {"node_id": "n", "node_execution_id": "n1", "n": 1, "attempt": 1}
    told = [{"seq": seq, "type": type, "data": data, "at": AT} for seq, type in enumerate(types, 1)]
    return Answer(200, "".join(f"data: {json.dumps(event)}\n\n" for event in told).encode(), STREAM)


async def watch(stub: StubServer) -> tuple[int, str, str]:
    api = {"PERDURE_API_URL": stub.url, "PERDURE_API_KEY": "key"}
    return await asyncio.to_thread(lambda: invoke("executions", "watch", "x", **api))


async def test_an_api_that_is_away_when_it_is_asked_for_costs_ends_nothing() -> None:
    async with running_server() as stub:
        away = [Answer(breaks_off=True)] * 3
        answers = iter([an_execution("RUNNING"), *away])
        stub.answers[PLACE] = lambda _: next(answers, an_execution("COMPLETED"))
        stub.answers[f"{PLACE}/events"] = events("node_completed", "execution_completed")
        # The id that the stream and the costs are asked under is the one that the API says.
        for part in ("", "/events"):
            stub.answers[f"/api/executions/%1B%5B2Jx{part}"] = stub.answers[PLACE + part]
        code, out, err = await watch(stub)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "COMPLETED after 1.0 s" in out


async def test_a_token_that_expires_meanwhile_is_said_with_how_to_go_on() -> None:
    async with running_server() as stub:
        stub.answers[PLACE] = an_execution("RUNNING")
        refused = {
            "success": False,
            "error": {"error_code": "UNAUTHENTICATED", "message": "A token is needed."},
        }
        stub.answers["/api/executions/%1B%5B2Jx/events"] = Answer.of_json(refused, 401)
        code, _, err = await watch(stub)
    assert code == 1
    assert "UNAUTHENTICATED (401)" in err
    assert err.endswith("perdure executions watch \ufffd[2Jx\n")
