"""Watches a process from outside: what it prints, how long it takes, how much memory its whole tree has."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

TICK_SECONDS = 0.1
"""How often time, memory and the wish to stop are looked at."""
_CHUNK_BYTES = 65_536


@dataclass(slots=True)
class Bounds:
    """What a process may use up."""

    seconds: float
    memory_bytes: int
    output_bytes: Mapping[int, int]
    """Of each pipe, by file descriptor."""


@dataclass(slots=True)
class Pipes:
    """The pipes of a process, from the host's side."""

    given: bytes
    """What is written to its standard input."""
    read: dict[int, bytearray] = field(default_factory=dict)
    """What came, by file descriptor."""


def watch(
    process: subprocess.Popen[bytes],
    pipes: Pipes,
    bounds: Bounds,
    *,
    is_to_stop: threading.Event,
    overrun: Callable[[str], Exception],
) -> None:
    """Serve a process until all its pipes are closed, and kill it when it goes too far.

    Raises:
        Exception: Made by `overrun` from words for what it did too much of.
    """
    ends_at = time.monotonic() + bounds.seconds
    with selectors.DefaultSelector() as selector:
        for descriptor in pipes.read:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        assert process.stdin is not None
        given = process.stdin.fileno()
        os.set_blocking(given, False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        looked_at = 0.0
        while set(selector.get_map()) - {given}:
            for key, _ in selector.select(TICK_SECONDS):
                if key.fd == given:
                    _write(process.stdin, pipes, selector)
                elif not _read(key.fd, pipes):
                    selector.unregister(key.fileobj)
                elif len(pipes.read[key.fd]) > bounds.output_bytes[key.fd]:
                    raise overrun(f"wrote more than {bounds.output_bytes[key.fd]:,} bytes")
            now = time.monotonic()
            if now > ends_at or is_to_stop.is_set():
                raise overrun(f"did not end within {bounds.seconds:g} s")
            if now - looked_at > TICK_SECONDS:
                looked_at = now
                if _memory_of(process.pid) > bounds.memory_bytes:
                    raise overrun(f"used more than {bounds.memory_bytes:,} bytes of memory")


def _write(stdin: IO[bytes], pipes: Pipes, selector: selectors.BaseSelector) -> None:
    try:
        written = os.write(stdin.fileno(), pipes.given[:_CHUNK_BYTES])
        pipes.given = pipes.given[written:]
    except BlockingIOError:
        return
    except BrokenPipeError:
        pipes.given = b""
    if not pipes.given:
        selector.unregister(stdin)
        with contextlib.suppress(BrokenPipeError):
            stdin.close()


def _read(descriptor: int, pipes: Pipes) -> bool:
    try:
        chunk = os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return True
    pipes.read[descriptor] += chunk
    return bool(chunk)


def _memory_of(pid: int) -> int:
    """Return the bytes of memory that a process and all below it hold, without the files that they have mapped."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(OSError):
                total += _held_by(Path(f"/proc/{each.pid}/status").read_text())
    return total


def _held_by(status: str) -> int:
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    return sum(int(fields.get(name, "0 kB").split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))
