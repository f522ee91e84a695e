"""Each call is charged once and what it costs, whatever dies between reservation and settlement: real SIGKILL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engine import Engine, limited, make_graph
from tests.fault.harness.sketches import PATIENT
from tests.ledger import add_user, charges, require_sound
from tests.processes import WorkerProcess
from tests.stack import Stack, eventually
from tests.stubs import LanguageModelStub

CALLS = 24
CREDITS = 100_000
ANSWERS = 3
"""After so many the model is silent until something has died."""
KILLS = ("postgres", "worker", "postgres", "worker", "postgres")


async def test_no_credit_is_lost_or_charged_twice_whoever_dies(
    engine: Engine,
    stack: Stack,
    task_queue: str,
    worker_process: Callable[..., WorkerProcess],
    language_model: LanguageModelStub,
) -> None:
    engine.task_queue = task_queue
    owner = await add_user(engine.pool, CREDITS)
    worker = await worker_process(LLM_BASE_URL=language_model.url).ready()
    graph = make_graph(
        {
            "items": ("step_through_items_block", {"items": [f"Task {k}" for k in range(CALLS)]}),
            "ask": ("ai_text_generator_block", {"model": "gpt-4o", "metadata": PATIENT}),
        },
        ["items.item -> ask.prompt"],
    )
    answered: list[str] = []

    def answer(asked: dict[str, Any]) -> str:
        """Answer, and hold back what comes after a few answers."""
        answered.append("")
        if len(answered) % ANSWERS == 0:
            language_model.let_go.clear()
        return "Done."

    language_model.answer = answer
    handle = await engine.start(graph, owner=owner, limits=limited(window=4, heartbeat_seconds=3))
    for victim in KILLS:
        await eventually(lambda: not language_model.let_go.is_set())
        # Some of these calls are paid for in advance, and nobody has heard an answer.
        await eventually(lambda: _has_open(engine, owner))
        if victim == "worker":
            worker.kill()
            language_model.let_go.set()
            worker = await worker_process(LLM_BASE_URL=language_model.url).ready()
        else:
            await stack.postgres.kill()
            language_model.let_go.set()
            await stack.postgres.start()
    language_model.answer = "Done."
    language_model.let_go.set()
    record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    paid: dict[str, Any] = {str(row["id"]): row["cost"] for row in record.of("ask")}
    (price,) = set(paid.values())
    assert price > 0
    assert await charges(engine.pool, handle.id) == paid
    assert await require_sound(engine.pool, owner) == CREDITS - CALLS * price


async def _has_open(engine: Engine, owner: str) -> bool:
    rows = await engine.pool.fetch(
        "SELECT key FROM credit_entries WHERE user_id = $1 AND execution_id IS NOT NULL", owner
    )
    keys = {row["key"] for row in rows}
    return any(key.replace("reserve:", "close:") not in keys for key in keys)
