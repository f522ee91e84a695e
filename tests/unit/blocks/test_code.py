"""The blocks themselves, over a sandbox that only remembers. Real ones stand in tests/unit/code_sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.calling import check_output, prepare
from app.blocks.choice import BlockChoice
from app.blocks.context import BlockContext, Scope
from app.blocks.library.code import MAX_TIMEOUT_SECONDS, ExecuteCodeBlock
from app.blocks.library.code_steps import ExecuteCodeStepBlock, InstantiateCodeSandboxBlock
from app.blocks.registry import make_registry
from app.code_sandbox.jobs import Job, Language, Outcome
from app.errors import BlockDisabled, BlockError, BlockInputInvalid
from tests.unit.blocks.contexts import MemoryFiles, MemoryOfOne, make_context

BLOCKS: tuple[type[RemoteBlock], ...] = (ExecuteCodeBlock, InstantiateCodeSandboxBlock, ExecuteCodeStepBlock)


class Ledger:
    """A sandbox whose code is a word: it is added to the file `ledger`, printed and shown."""

    def __init__(self, *, shows: Any = None, folder: Mapping[str, bytes] | None = None) -> None:
        self.jobs: list[Job] = []
        self._shows = shows
        self._folder = folder

    async def run(self, job: Job) -> Outcome:
        self.jobs.append(job)
        if job.code == "fail":
            raise BlockError("The code failed")
        ledger = job.folder.get("ledger", b"") + job.code.encode()
        return Outcome(
            stdout=ledger.decode(),
            stderr="",
            results=[] if self._shows is None else [self._shows],
            folder={"ledger": ledger} if self._folder is None else self._folder,
        )


async def call(block_class: type[RemoteBlock], context: BlockContext, **given: Any) -> list[tuple[str, Any]]:
    block = block_class()
    emitted = block.run(prepare(block, {}, given), context)
    return [(pin, check_output(block, pin, value)) async for pin, value in emitted]


async def test_only_what_there_is_comes_out() -> None:
    context = make_context(sandbox=Ledger(folder={}))
    assert await call(ExecuteCodeBlock, context, code="") == []
    assert await call(ExecuteCodeBlock, context, code="x") == [("stdout_logs", "x")]


async def test_a_result_comes_out_in_all_its_forms_and_as_text() -> None:
    context = make_context(sandbox=Ledger(shows={"text": "[1]", "json": [1], "odd": 1}, folder={}))
    emitted = dict(await call(ExecuteCodeBlock, context))
    assert {kind: value for kind, value in emitted["main_result"].items() if value is not None} == {
        "text": "[1]",
        "json": [1],
    }
    assert emitted["main_result"]["png"] is None
    assert emitted["results"] == [{**emitted["main_result"], "is_main_result": True}]
    assert emitted["response"] == "[1]"


async def test_files_are_kept_and_short_texts_come_along() -> None:
    files = MemoryFiles()
    folder = {"deep/a.csv": b"1,2", "b.png": b"\x89PNG\xff", "c.txt": b"x" * 100_000}
    context = make_context(sandbox=Ledger(folder=folder), files=files)
    emitted = dict(await call(ExecuteCodeBlock, context))
    assert [(file["path"], file["name"], file["size"], file["content"]) for file in emitted["files"]] == [
        ("deep/a.csv", "a.csv", 3, "1,2"),
        ("b.png", "b.png", 5, ""),
        ("c.txt", "c.txt", 100_000, ""),
    ]
    for file in emitted["files"]:
        assert files.files[file["workspace_ref"]].content == folder[file["path"]]
        assert files.files[file["workspace_ref"]].content_type == file["mime_type"]


async def test_the_sandbox_is_given_what_the_node_says() -> None:
    sandbox = Ledger()
    await call(
        ExecuteCodeBlock,
        make_context(sandbox=sandbox),
        code="1",
        language="js",
        setup_commands=["true"],
        timeout=7,
        credentials={"id": "", "provider": "e2b", "type": "api_key"},
        template_id="t",
    )
    assert sandbox.jobs == [Job(Language.JS, "1", setup_commands=["true"], timeout_seconds=7)]


@pytest.mark.parametrize(("timeout", "seconds"), [(0, 1), (-5, 1), (10**9, MAX_TIMEOUT_SECONDS)])
async def test_a_time_limit_is_kept_within_bounds(timeout: int, seconds: int) -> None:
    sandbox = Ledger()
    await call(ExecuteCodeBlock, make_context(sandbox=sandbox), timeout=timeout)
    assert sandbox.jobs[0].timeout_seconds == seconds


@pytest.mark.parametrize("language", ["r", "java"])
async def test_a_language_that_is_not_executed_is_said_to_be_so(language: str) -> None:
    sandbox = Ledger()
    with pytest.raises(BlockError, match=f"Code in {language} is not executed here"):
        await call(ExecuteCodeBlock, make_context(sandbox=sandbox), language=language)
    assert sandbox.jobs == []


@pytest.mark.parametrize("block_class", BLOCKS)
async def test_nothing_is_executed_on_a_worker_without_a_sandbox(block_class: type[RemoteBlock]) -> None:
    context = make_context()
    await context.memory.put(
        "code sandbox s", {"folder": await context.files.store(b'{"files": []}\n')}, scope=Scope.USER
    )
    given = {"sandbox_id": "s"} if block_class is ExecuteCodeStepBlock else {}
    with pytest.raises(BlockDisabled, match="PERDURE_CODE_SANDBOX"):
        await call(block_class, context, **given)


@pytest.mark.parametrize("block_class", BLOCKS)
def test_the_blocks_are_there_and_off_until_the_setting_is_made(block_class: type[RemoteBlock]) -> None:
    off = make_registry().require(block_class.id)
    assert "PERDURE_CODE_SANDBOX" in off.off_because
    on = make_registry(BlockChoice(settings=frozenset({"PERDURE_CODE_SANDBOX"}))).require(block_class.id)
    assert on.off_because == ""


# A sandbox that lasts


async def test_steps_find_the_files_that_earlier_ones_left() -> None:
    files, memory = MemoryFiles(), MemoryOfOne()

    def at(node: str) -> BlockContext:
        return make_context(sandbox=Ledger(), files=files, memory=memory, idempotency_key=node)

    emitted = await call(InstantiateCodeSandboxBlock, at("e:i:1"), setup_code="a")
    sandbox_id = dict(emitted)["sandbox_id"]
    assert emitted[1:] == [("stdout_logs", "a")]
    steps = [
        await call(ExecuteCodeStepBlock, at(f"e:s:{n}"), sandbox_id=sandbox_id, step_code="b") for n in (1, 2)
    ]
    assert steps == [[("stdout_logs", "ab")], [("stdout_logs", "abb")]]


async def test_a_step_that_fails_leaves_the_folder_as_it_was() -> None:
    context = make_context(sandbox=Ledger(), files=MemoryFiles(), memory=MemoryOfOne())
    sandbox_id = dict(await call(InstantiateCodeSandboxBlock, context, setup_code="a"))["sandbox_id"]
    with pytest.raises(BlockError):
        await call(ExecuteCodeStepBlock, context, sandbox_id=sandbox_id, step_code="fail")


async def test_a_step_that_is_attempted_again_begins_where_it_began_before() -> None:
    files, memory = MemoryFiles(), MemoryOfOne()

    def at(node: str) -> BlockContext:
        return make_context(sandbox=Ledger(), files=files, memory=memory, idempotency_key=node)

    sandbox_id = dict(await call(InstantiateCodeSandboxBlock, at("e:i:1"), setup_code="a"))["sandbox_id"]
    for _ in range(2):
        step = await call(ExecuteCodeStepBlock, at("e:s:1"), sandbox_id=sandbox_id, step_code="b")
        assert step == [("stdout_logs", "ab")]
    after = await call(ExecuteCodeStepBlock, at("e:s:2"), sandbox_id=sandbox_id, step_code="c")
    assert after == [("stdout_logs", "abc")]


async def test_the_preparation_of_a_sandbox_gives_the_same_one_on_every_attempt() -> None:
    context = make_context(sandbox=Ledger())
    ids = {dict(await call(InstantiateCodeSandboxBlock, context))["sandbox_id"] for _ in range(2)}
    assert len(ids) == 1


async def test_a_sandbox_that_was_thrown_away_is_gone() -> None:
    files, memory = MemoryFiles(), MemoryOfOne()

    def at(node: str) -> BlockContext:
        return make_context(sandbox=Ledger(), files=files, memory=memory, idempotency_key=node)

    sandbox_id = dict(await call(InstantiateCodeSandboxBlock, at("e:i:1")))["sandbox_id"]
    await call(ExecuteCodeStepBlock, at("e:s:1"), sandbox_id=sandbox_id, step_code="b", dispose_sandbox=True)
    with pytest.raises(BlockInputInvalid, match="no such sandbox"):
        await call(ExecuteCodeStepBlock, at("e:s:2"), sandbox_id=sandbox_id, step_code="c")


@pytest.mark.parametrize("kept", [None, 1, {}, {"folder": 1}, {"folder": "workspace://nothing"}])
async def test_a_sandbox_that_nobody_prepared_is_not_there(kept: Any) -> None:
    memory = MemoryOfOne()
    if kept is not None:
        memory.values[Scope.USER, "code sandbox s"] = kept
    with pytest.raises(BlockInputInvalid):
        await call(ExecuteCodeStepBlock, make_context(sandbox=Ledger(), memory=memory), sandbox_id="s")


async def test_a_file_that_is_no_folder_is_refused() -> None:
    files, memory = MemoryFiles(), MemoryOfOne()
    memory.values[Scope.USER, "code sandbox s"] = {"folder": await files.store(b"something else")}
    with pytest.raises(BlockError, match="not understood"):
        await call(
            ExecuteCodeStepBlock, make_context(sandbox=Ledger(), files=files, memory=memory), sandbox_id="s"
        )
