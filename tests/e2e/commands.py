"""The command line as a process of its own, and, where that makes no difference, in ours."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import application

PERDURE = Path(sys.executable).with_name("perdure")


async def perdure(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command line; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        PERDURE,
        *arguments,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def invoke(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command line without a process, which takes a second less; return the same. What it raises is raised."""
    result = CliRunner(env=environment).invoke(application, arguments, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr
