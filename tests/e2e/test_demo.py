"""What a newcomer types: the demo, and the first graph of the README."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.preloaded import ROOT
from tests.processes import ServerProcess


async def run(module: str, **settings: str) -> tuple[int, str]:
    """Run a module of the examples away from a developer's settings; return its exit code and what it printed."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PERDURE_", "OPENAI_", "ANTHROPIC_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env={**ours, **settings},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.slow
async def test_the_demo_runs_every_example_and_leaves_nothing_running(short_folder: Path) -> None:
    code, output = await run("examples.demo", TMPDIR=str(short_folder))
    assert code == 0, output
    assert output.count("COMPLETED") == 5
    assert "summary: " in output
    assert "result: 2104.85" in output
    assert "node retrying: Ask the service" in output
    assert '"Sunny, 24 degrees"' in output
    assert '"The service refused: There is no weather for atlantis"' in output
    assert "killed worker" in output
    assert 'rang: "ding", "ding"' in output
    assert output.count("/namespaces/default/workflows/") == 5
    assert _left_in(short_folder) == []


async def test_the_first_graph_of_the_readme_runs_word_for_word(server: ServerProcess) -> None:
    code, output = await run(
        "examples.first_graph",
        PERDURE_API_URL=server.run_info.api_url,
        PERDURE_API_KEY=server.token("you@example.com"),
    )
    assert code == 0, output
    assert output.strip() in (ROOT / "README.md").read_text()


def _left_in(folder: Path) -> list[str]:
    """Return the files of a folder, and the processes that were started on it."""
    commands = map(_command_of, psutil.process_iter())
    return [*map(str, folder.iterdir()), *(command for command in commands if str(folder) in command)]


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
