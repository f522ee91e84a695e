"""What `perdure schedules` and `perdure presets` ask the API for. Against a server that notes it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.commands import invoke
from tests.unit.blocks.stub_server import Answer, Asked, StubServer, running_server

GRAPH = "7b1f8a52-7a8f-4a39-9f0e-6b2f3c1d9a10"
ANSWER: dict[str, Any] = {
    "id": "x",
    "graph_id": GRAPH,
    "name": "n",
    "cron": "0 9 * * *",
    "timezone": "UTC",
    "description": "",
    "inputs": {"a": 1},
    "status": "QUEUED",
    "temporal": {"web_url": None},
}
INPUT = ["--input", "a=1"]


class Anything(dict[str, Any]):
    """Answers for every path."""

    def get(self, path: str, default: Any = None) -> Any:
        def answer(asked: Asked) -> Answer:
            if asked.method == "DELETE":
                return Answer(204)
            is_list = asked.method == "GET" and path.endswith(("schedules", "presets"))
            return Answer.of_json({"items": [ANSWER], "next_cursor": None} if is_list else ANSWER)

        return answer


@pytest.mark.parametrize(
    ("words", "call", "body"),
    [
        (["schedules", "list"], "GET /api/schedules", None),
        (["schedules", "list", "--graph", GRAPH], f"GET /api/graphs/{GRAPH}/schedules", None),
        (["schedules", "get", "x"], "GET /api/schedules/x", None),
        (
            ["schedules", "create", GRAPH, "--cron", "0 9 * * *", "--timezone", "Europe/Bern", *INPUT],
            f"POST /api/graphs/{GRAPH}/schedules",
            {"cron": "0 9 * * *", "timezone": "Europe/Bern", "inputs": {"a": 1}},
        ),
        (["schedules", "update", "x", "--name", "m"], "PATCH /api/schedules/x", {"name": "m"}),
        (["schedules", "delete", "x"], "DELETE /api/schedules/x", None),
        (["schedules", "pause", "x"], "POST /api/schedules/x/pause", None),
        (["schedules", "resume", "x"], "POST /api/schedules/x/resume", None),
        (["schedules", "trigger", "x"], "POST /api/schedules/x/trigger", None),
        (
            ["schedules", "backfill", "x", "--from", "2030-01-01T00:00:00Z", "--to", "2030-01-02T00:00:00Z"],
            "POST /api/schedules/x/backfill",
            {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"},
        ),
        (["presets", "list"], "GET /api/presets", None),
        (["presets", "get", "x"], "GET /api/presets/x", None),
        (
            ["presets", "create", GRAPH, "n", *INPUT],
            "POST /api/presets",
            {"graph_id": GRAPH, "name": "n", "inputs": {"a": 1}},
        ),
        (["presets", "update", "x", *INPUT], "PATCH /api/presets/x", {"inputs": {"a": 1}}),
        (["presets", "delete", "x"], "DELETE /api/presets/x", None),
        (["presets", "run", "x", *INPUT], "POST /api/presets/x/execute", {"inputs": {"a": 1}}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
async def test_a_command_makes_its_call(words: list[str], call: str, body: Any) -> None:
    async with running_server() as stub:
        stub.answers = Anything()
        code, out, err = await asyncio.to_thread(_invoke, stub, [*words, "--json"])
        assert (code, err) == (0, "")
        assert json.loads(out)
        (asked,) = stub.asked
        assert f"{asked.method} {asked.target.partition('?')[0]}" == call
        assert (json.loads(asked.body) if asked.body else None) == body
        assert ("idempotency-key" in asked.headers) is (asked.method != "GET")
        # For people it is said in other words, and comes to the same.
        assert await asyncio.to_thread(_invoke, stub, words) != (code, out, err)


def _invoke(stub: StubServer, words: list[str]) -> tuple[int, str, str]:
    return invoke(*words, PERDURE_API_URL=stub.url, PERDURE_API_KEY="key")
