"""A real S3 server as a process of its own, so that it can really be killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from app.embedded.ports import choose_port
from tests.stack import eventually

BUCKET, PREFIX = "values", "of/tests"
URL = f"s3://{BUCKET}/{PREFIX}"
KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_REGION": "us-east-1"}


class S3Server:
    """moto, on a free port. What it holds is lost when it is killed."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._port = choose_port("127.0.0.1", 0, setting="")
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """How clients find it, and are let in."""
        return {"AWS_ENDPOINT_URL": self.endpoint, **KEYS}

    async def start(self) -> None:
        """Start it with an empty bucket."""
        self._start()
        async with httpx.AsyncClient(trust_env=False) as client:

            async def makes_a_bucket() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.put(f"{self.endpoint}/{BUCKET}")).is_success
                return False

            await eventually(makes_a_bucket)

    def _start(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def names(self) -> set[str]:
        """Return the names of the objects."""
        async with httpx.AsyncClient(trust_env=False) as client:
            listing = await client.get(f"{self.endpoint}/{BUCKET}?list-type=2")
        return set(re.findall(f"<Key>{PREFIX}/(.+?)</Key>", listing.text))

    async def count(self) -> int:
        """Return how many objects there are."""
        return len(await self.names())

    def pause(self) -> None:
        """Freeze it: it keeps what it has and answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; its port refuses connections from now on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def run_s3_server(log_path: Path) -> AsyncIterator[S3Server]:
    """Run a server."""
    server = S3Server(log_path)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
