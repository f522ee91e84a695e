from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import Job, Language, Outcome
from app.code_sandbox.opening import SandboxUnfit, make_trial, open_sandbox, try_out
from app.errors import BlockUnavailable
from tests.walls import can_build_walls


class Leaky:
    """A sandbox that holds nothing."""

    def __init__(self, *found: str) -> None:
        self._found = list(found)

    async def run(self, job: Job) -> Outcome:
        return Outcome(stdout="", stderr="", results=[{"text": "", "json": self._found}], folder={})


class Silent:
    """A sandbox that says nothing of itself."""

    async def run(self, job: Job) -> Outcome:
        return Outcome(stdout="", stderr="", results=[], folder={})


async def test_a_sandbox_is_opened_where_walls_can_be_built_and_refused_elsewhere() -> None:
    if can_build_walls():
        (await open_sandbox()).close()
    else:
        with pytest.raises(SandboxUnfit, match="bubblewrap"):
            await open_sandbox()


async def test_a_sandbox_without_its_program_is_refused_with_words() -> None:
    sandbox = BubblewrapSandbox(program="no-such-bubblewrap")
    with pytest.raises(SandboxUnfit, match="needs bubblewrap"):
        await try_out(sandbox)
    with pytest.raises(BlockUnavailable):
        await sandbox.run(Job(Language.PYTHON, "1"))
    sandbox.close()


async def test_a_program_that_builds_no_walls_is_refused() -> None:
    sandbox = BubblewrapSandbox(program="false")
    with pytest.raises(SandboxUnfit, match="needs bubblewrap"):
        await try_out(sandbox)
    sandbox.close()


async def test_a_sandbox_that_does_not_hold_is_refused_with_what_is_wrong() -> None:
    with pytest.raises(SandboxUnfit, match="the network is there"):
        await try_out(Leaky("the network is there"))


async def test_a_sandbox_that_says_nothing_is_refused() -> None:
    with pytest.raises(SandboxUnfit):
        await try_out(Silent())


def test_the_trial_finds_what_stands_open_where_there_are_no_walls(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with socket.create_server(("127.0.0.1", 0)) as service:
        trial = make_trial(port=service.getsockname()[1], path=str(path))
        done = subprocess.run(
            [sys.executable, "-c", f"{trial}\nprint(*found, sep=chr(10))"],
            env={**os.environ, "PERDURE_CANARY": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert {
        "a service of this machine can be reached",
        "files of this machine can be seen",
        "processes of this machine can be seen",
        "the environment of the worker can be seen",
        "system calls are not filtered",
    } <= set(done.stdout.splitlines())
