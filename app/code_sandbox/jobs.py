"""What a sandbox is given and what comes out of it. Knows nothing of how it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

MEGABYTE = 1024 * 1024


class Language(StrEnum):
    """The languages that code is executed in."""

    PYTHON = "python"
    JS = "js"
    BASH = "bash"


@dataclass(frozen=True, slots=True)
class Limits:
    """What code may use up."""

    memory_bytes: int = 512 * MEGABYTE
    """Of all its processes together."""
    folder_bytes: int = 64 * MEGABYTE
    """Of the working folder, and as much again in `/tmp`."""
    output_bytes: int = 1_000_000
    """Of what it prints, on either stream."""
    processes: int = 64
    """Processes and threads at once."""
    open_files: int = 256


@dataclass(frozen=True, slots=True)
class Job:
    """Code to be executed once."""

    language: Language
    code: str
    setup_commands: Sequence[str] = ()
    """Shell commands that are executed before it."""
    folder: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the working folder, by path."""
    timeout_seconds: float = 300.0
    """For everything together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What code did that came to its end."""

    stdout: str
    stderr: str
    results: Sequence[Mapping[str, Any]]
    """What its last expression shows, by kind (`text`, `html`, `png`, …); empty when it shows nothing."""
    folder: Mapping[str, bytes]
    """The regular files of the working folder afterwards, by path."""


class CodeSandbox(Protocol):
    """Executes code that nobody trusts."""

    async def run(self, job: Job) -> Outcome:
        """Execute code; nothing of it is left when this returns, fails or is cancelled.

        Raises:
            BlockError: The code failed.
            BlockLimitExceeded: It reached a limit.
            BlockUnavailable: The sandbox cannot be built now.
        """
