"""The command line is quick to say what it can do, and teaches that to shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.commands import PERDURE
from tests.unit.test_imports import modules_after

ROOT = Path(__file__).resolve().parents[3]


def test_help_waits_for_nothing_that_only_commands_need() -> None:
    program = "import sys; sys.argv = ['perdure', '--help']\nfrom app.cli.main import application\n"
    program += "application(standalone_mode=False)\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("MODULES")[2].split())
    assert "executions" in done.stdout
    assert not {"httpx2", "rich", "asyncio", "pydantic", "app.settings", "perdure"} & loaded


def test_the_client_drags_in_nothing_of_the_server() -> None:
    loaded = modules_after("perdure")
    assert not [name for name in loaded if name == "app" or name.startswith("app.")]


def test_a_shell_learns_the_commands() -> None:
    environment = {
        "_PERDURE_COMPLETE": "complete_bash",
        "COMP_WORDS": "perdure exec",
        "COMP_CWORD": "1",
        "PATH": "/usr/bin",
    }
    done = subprocess.run([PERDURE], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["executions"]


def test_what_cannot_be_written_is_said_without_a_word_of_python() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PERDURE, "--help"], env={}, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "perdure: nothing can be written: No space left on device\n")
