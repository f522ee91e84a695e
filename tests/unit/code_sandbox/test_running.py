"""What code may do between the walls. Collected only where they can be built (conftest.py)."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import Job, Language
from app.errors import BlockError, BlockLimitExceeded
from tests.stack import eventually
from tests.unit.code_sandbox.running import python


async def test_the_last_expression_of_python_code_is_its_result(sandbox: BubblewrapSandbox) -> None:
    outcome = await python(sandbox, "import sys\nx = {'a': [1]}\nprint('o')\nprint('e', file=sys.stderr)\nx")
    assert outcome.results == [{"text": "{'a': [1]}", "json": {"a": [1]}}]
    assert (outcome.stdout, outcome.stderr) == ("o\n", "e\n")


async def test_code_that_ends_with_a_statement_has_no_result(sandbox: BubblewrapSandbox) -> None:
    assert list((await python(sandbox, "x = 1")).results) == []
    assert list((await python(sandbox, "")).results) == []
    assert list((await python(sandbox, "None")).results) == []


async def test_python_code_may_await(sandbox: BubblewrapSandbox) -> None:
    outcome = await python(sandbox, "import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 'done')")
    assert outcome.results[0]["text"] == "'done'"


async def test_an_object_is_shown_in_the_forms_it_has(sandbox: BubblewrapSandbox) -> None:
    code = "class T:\n    def _repr_html_(self): return '<b>'\n    def _repr_png_(self): return b'png'\nT()"
    (result,) = (await python(sandbox, code)).results
    assert (result["html"], result["png"]) == ("<b>", "cG5n")


async def test_python_code_that_fails_shows_its_own_lines(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockError) as failure:
        await python(sandbox, "def f():\n    return 1 / 0\nf()")
    assert "return 1 / 0" in failure.value.message
    assert "run_python" not in failure.value.message
    with pytest.raises(BlockError, match="SyntaxError"):
        await python(sandbox, "def")


async def test_bash_code_fails_with_its_status(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockError, match="failed with status 3: why"):
        await sandbox.run(Job(Language.BASH, "echo why >&2; exit 3"))


async def test_javascript_is_executed_or_said_to_be_missing(sandbox: BubblewrapSandbox) -> None:
    job = Job(Language.JS, "console.log('o'); const n = 2; Promise.resolve({ n });")
    if shutil.which("node", path="/usr/local/bin:/usr/bin:/bin"):
        outcome = await sandbox.run(job)
        assert (outcome.stdout, outcome.results[0]["json"]) == ("o\n", {"n": 2})
        with pytest.raises(BlockError, match="boom"):
            await sandbox.run(Job(Language.JS, "throw new Error('boom')"))
    else:
        with pytest.raises(BlockError, match="node is not installed"):
            await sandbox.run(job)


async def test_files_go_in_and_come_out(sandbox: BubblewrapSandbox) -> None:
    job = Job(
        Language.BASH,
        "cat in/a.txt > out.txt; rm in/b.bin; mkdir deep; echo x > deep/c.txt",
        folder={"in/a.txt": "ü".encode(), "in/b.bin": b"\0"},
    )
    outcome = await sandbox.run(job)
    assert outcome.folder == {"in/a.txt": "ü".encode(), "out.txt": "ü".encode(), "deep/c.txt": b"x\n"}


async def test_setup_commands_come_first_and_a_failing_one_ends_it(sandbox: BubblewrapSandbox) -> None:
    code = "from mine import x\nx"
    job = Job(Language.PYTHON, code, setup_commands=["echo x = 7 > mine.py", "true"])
    assert (await sandbox.run(job)).results[0]["text"] == "7"
    with pytest.raises(BlockError, match="Setup command 2"):
        await sandbox.run(Job(Language.PYTHON, code, setup_commands=["true", "false"]))


async def test_nothing_can_be_installed(sandbox: BubblewrapSandbox) -> None:
    command = "python3 -c 'import urllib.request as r; r.urlopen(\"https://example.com\", timeout=5)'"
    with pytest.raises(BlockError, match="Setup command 1"):
        await sandbox.run(Job(Language.PYTHON, "1", setup_commands=[command]))


async def test_many_codes_at_once_do_not_see_each_other(sandbox: BubblewrapSandbox) -> None:
    codes = [f"open('mine', 'w').write('{n}')\nimport os\nos.listdir('.'), {n}" for n in range(10)]
    outcomes = await asyncio.gather(*(python(sandbox, code) for code in codes))
    assert [outcome.results[0]["text"] for outcome in outcomes] == [f"(['mine'], {n})" for n in range(10)]


def processes_with(mark: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(mark in part for part in process.info["cmdline"] or [])
    ]


LINGERING = """
import os, subprocess, sys
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("python3", ["python3", "-c", "import time; time.sleep(1000)", {mark!r}])
        os._exit(0)
"""


async def test_what_code_leaves_running_is_killed_when_it_ends(sandbox: BubblewrapSandbox) -> None:
    mark = secrets.token_hex()
    await python(sandbox, LINGERING.format(mark=mark))
    assert processes_with(mark) == []


async def test_what_code_leaves_running_is_killed_when_its_time_is_over(sandbox: BubblewrapSandbox) -> None:
    mark = secrets.token_hex()
    with pytest.raises(BlockLimitExceeded, match="within 3 s"):
        await python(sandbox, LINGERING.format(mark=mark) + "while True: pass", seconds=3)
    assert processes_with(mark) == []


async def test_what_runs_is_killed_when_its_caller_is_cancelled(sandbox: BubblewrapSandbox) -> None:
    mark = secrets.token_hex()
    running = asyncio.create_task(python(sandbox, LINGERING.format(mark=mark) + "while True: pass", 600))
    await eventually(lambda: len(processes_with(mark)) >= 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_with(mark) == []


async def test_what_waits_for_its_turn_can_be_cancelled(sandbox: BubblewrapSandbox) -> None:
    running = [asyncio.create_task(python(sandbox, "while True: pass", 600)) for _ in range(8)]
    await asyncio.sleep(0)
    for task in running:
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)


async def test_what_runs_is_killed_when_its_worker_is(tmp_path: Path) -> None:
    mark = secrets.token_hex()
    program = tmp_path / "worker.py"
    program.write_text(
        "import asyncio\n"
        "from app.code_sandbox.bubblewrap import BubblewrapSandbox\n"
        "from app.code_sandbox.jobs import Job, Language\n"
        f"code = {LINGERING.format(mark=mark) + 'while True: pass'!r}\n"
        "asyncio.run(BubblewrapSandbox().run(Job(Language.PYTHON, code)))\n"
    )
    worker = await asyncio.create_subprocess_exec(sys.executable, str(program), cwd=Path(__file__).parents[3])
    await eventually(lambda: len(processes_with(mark)) >= 3)
    worker.kill()
    await worker.wait()
    await eventually(lambda: not processes_with(mark))
