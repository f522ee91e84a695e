"""The command line as a process of its own, and, where that makes no difference, in ours."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from typer.main import get_command

from app.cli.main import application

PERDURE = Path(sys.executable).with_name("perdure")
COMMAND = get_command(application)
"""Put together once: that takes as long as many a command."""


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
    out, err, code = io.StringIO(), io.StringIO(), 0
    with patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        try:
            COMMAND.main(list(arguments), prog_name="perdure")
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()
