"""What a model was paid for is not paid for again when workers die: real processes, real SIGKILL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.engine import Engine, limited, make_graph
from tests.processes import WorkerProcess
from tests.stack import eventually
from tests.stubs import LanguageModelStub

CHUNKS = 9
KILLED_IN = 7


async def test_a_worker_killed_in_the_seventh_chunk_pays_for_the_first_six_once(
    engine: Engine,
    task_queue: str,
    worker_process: Callable[..., WorkerProcess],
    language_model: LanguageModelStub,
) -> None:
    engine.task_queue = task_queue
    language_model.answer = lambda asked: asked["messages"][-1]["content"]
    language_model.hold_after = KILLED_IN - 1
    language_model.let_go.clear()
    first = await worker_process(LLM_BASE_URL=language_model.url).ready()
    text = " ".join(f"chunk{number}" for number in range(1, CHUNKS + 1))
    given = {"text": text, "max_tokens": 1, "chunk_overlap": 0}
    summary = make_graph({"sum": ("ai_text_summarizer_block", given)}, [])
    handle = await engine.start(summary, limits=limited(heartbeat_seconds=5))
    await eventually(lambda: len(language_model.requests) == KILLED_IN)

    first.kill()
    language_model.hold_after = None
    language_model.let_go.set()
    worker_process(LLM_BASE_URL=language_model.url)
    record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    (row,) = record.of("sum")
    assert row["attempt"] == 2
    asked = Counter(request["messages"][-1]["content"] for request in language_model.requests)
    chunks = [f"chunk{number}" for number in range(1, CHUNKS + 1)]
    assert {name: asked[name] for name in chunks} == {
        name: 2 if name == f"chunk{KILLED_IN}" else 1 for name in chunks
    }
    assert asked["\n\n".join(chunks)] == 1
    # What the dead worker had used counts too; only its unanswered question does not.
    assert row["usage"]["calls"] == len(language_model.requests) - 1
