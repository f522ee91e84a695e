"""Attempts to take the machine down. Collected only where the walls can be built (conftest.py)."""

from __future__ import annotations

import pytest

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import Job, Language
from app.errors import BlockError, BlockLimitExceeded
from tests.unit.code_sandbox.running import python


async def test_a_fork_bomb_stays_inside(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockError):
        await sandbox.run(Job(Language.BASH, "b() { b | b & }; b; while true; do :; done", timeout_seconds=3))
    assert (await python(sandbox, "1 + 1")).results[0]["text"] == "2"


async def test_processes_are_counted(sandbox: BubblewrapSandbox) -> None:
    code = """
import os
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "1000"])
        made += 1
except OSError:
    pass
made
"""
    assert int((await python(sandbox, code)).results[0]["text"]) < 64


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10 ** 10)",
        "x = []\nwhile True: x.append(bytearray(10 ** 6))",
        "import mmap\nm = [mmap.mmap(-1, 10 ** 8) for _ in range(30)]\nfor each in m: each.write(b'x' * 10 ** 8)",
        """
import os, time
for _ in range(20):
    if os.fork() == 0:
        x = b"x" * (10 ** 8)
        time.sleep(60)
time.sleep(60)
""",
    ],
)
async def test_a_memory_bomb_is_stopped(sandbox: BubblewrapSandbox, code: str) -> None:
    with pytest.raises(BlockError, match=r"memory|Memory|SIGKILL"):
        await python(sandbox, code)


@pytest.mark.parametrize("folder", ["/work", "/tmp", "/dev/shm"])
async def test_a_disk_that_is_filled_is_its_own_and_small(sandbox: BubblewrapSandbox, folder: str) -> None:
    code = f"""
import os
written = 0
try:
    for number in range(100):
        with open(f"{folder}/{{number}}", "wb", buffering=0) as file:
            for _ in range(100):
                written += file.write(bytes(10 ** 6))
except OSError:
    pass
for name in os.listdir("{folder}"):
    os.unlink("{folder}/" + name)
written
"""
    assert int((await python(sandbox, code)).results[0]["text"]) < 17_000_000


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_flood_of_output_is_stopped(sandbox: BubblewrapSandbox, stream: str) -> None:
    with pytest.raises(BlockLimitExceeded, match="wrote more than 200,000 bytes"):
        await python(sandbox, f"import sys\nwhile True: sys.{stream}.write('x' * 10_000)")


async def test_a_flood_of_answers_is_stopped(sandbox: BubblewrapSandbox) -> None:
    # Links to the descriptors of the process that supervises are the way to speak in its name.
    code = """
import os
for pid in os.listdir("/proc"):
    for descriptor in range(3, 30):
        try:
            pipe = open(f"/proc/{pid}/fd/{descriptor}", "wb")
        except OSError:
            continue
        while True:
            pipe.write(b"x" * 10_000)
raise SystemExit(1)
"""
    with pytest.raises(BlockError):
        await python(sandbox, code, seconds=10)


async def test_a_loop_without_end_is_stopped(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockLimitExceeded, match="within 1 s"):
        await python(sandbox, "while True: pass", seconds=1)


async def test_signals_do_not_help_to_outlive_the_limit(sandbox: BubblewrapSandbox) -> None:
    code = """
import os, signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
os.kill(os.getppid(), signal.SIGSTOP)
while True:
    pass
"""
    with pytest.raises(BlockLimitExceeded, match="within 2 s"):
        await python(sandbox, code, seconds=2)
