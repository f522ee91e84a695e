"""Runs Python code in a sandbox."""

from __future__ import annotations

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import Job, Language, Outcome


async def python(sandbox: BubblewrapSandbox, code: str, seconds: float = 60.0) -> Outcome:
    return await sandbox.run(Job(Language.PYTHON, code, timeout_seconds=seconds))
