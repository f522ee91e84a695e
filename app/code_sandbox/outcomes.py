"""What became of code, read from what its sandbox sent back. Nothing of it is trusted: the code may have written it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from app.code_sandbox.folder import unpack
from app.code_sandbox.jobs import Outcome
from app.errors import BlockError, BlockUnavailable

READY = b"ready\n"
_QUOTED = 1_500
"""Characters of what code printed that its failure quotes."""


def read_outcome(answered: bytes, stdout: str, stderr: str) -> Outcome:
    """Return what came of code that came to its end.

    Args:
        answered: What the sandbox sent back.
        stdout: What was printed.
        stderr: What was printed there, by bubblewrap too.

    Raises:
        BlockError: The code failed, or its language is not installed.
        BlockUnavailable: The sandbox could not be built.
    """
    if not answered.startswith(READY):
        raise BlockUnavailable(f"The sandbox cannot be built on this worker: {stderr.strip()[:200]}")
    answer = answered.removeprefix(READY)
    if not answer:
        raise BlockError("The code ended the sandbox that it was executed in")
    folder, said = unpack(answer)
    _require_success(said, stdout, stderr)
    results = said.get("results")
    return Outcome(
        stdout=stdout,
        stderr=stderr,
        results=[each for each in results if isinstance(each, dict)] if isinstance(results, list) else [],
        folder=folder,
    )


def _require_success(said: Mapping[str, Any], stdout: str, stderr: str) -> None:
    status = said.get("status")
    if "missing" in said:
        raise BlockError(f"{str(said['missing'])[:40]} is not installed on this worker")
    if status == 0:
        return
    what = f"Setup command {said['setup_command']}" if "setup_command" in said else "The code"
    printed = (stderr.strip() or stdout.strip())[-_QUOTED:]
    raise BlockError(f"{what} {_how(status)}" + (f": {printed}" if printed else ""))


def _how(status: Any) -> str:
    try:
        if isinstance(status, int) and status < 0:
            return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        pass
    return f"failed with status {str(status)[:10]}"
