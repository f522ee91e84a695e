"""Postgres and Temporal together, on one folder and ports of their own. No API and no worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from temporalio.client import Client, Interceptor

from app.embedded.dev_server import EmbeddedTemporal
from app.embedded.postgres import EmbeddedPostgres
from app.encryption.keys import EncryptionKey
from app.temporal import TemporalTarget, connect


class EmbeddedStack:
    """A real Postgres and a real Temporal, started by `start` or by entering it, stopped with us.

    `postgres` and `temporal` can be killed and started again one by one; addresses stay the same then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        temporal_port: int = 0,
        temporal_ui_port: int = 0,
        namespace: str = "default",
        is_durable: bool = True,
        encryption_keys: Sequence[EncryptionKey] = (),
        ui_codec_endpoint: str | None = None,
    ) -> None:
        """Prepare the stack without starting it.

        Args:
            folder: Where data and logs are kept; made when missing.
            temporal_port: Port of Temporal's front end; 0 means any free one.
            temporal_ui_port: Port of Temporal's Web UI; 0 means any free one.
            namespace: Temporal namespace to use.
            is_durable: Survive a crash of the machine, not only of processes. Off for throw-away data of tests.
            encryption_keys: Keys for what our clients have Temporal store, newest first.
            ui_codec_endpoint: Where the Web UI has payloads decrypted.
        """
        self.folder = folder.resolve()
        self.namespace = namespace
        self._encryption_keys = encryption_keys
        logs = self.folder / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.postgres = EmbeddedPostgres(
            self.folder / "postgres", log_path=logs / "postgres.log", is_durable=is_durable
        )
        self.temporal = EmbeddedTemporal(
            self.folder / "temporal.db",
            log_path=logs / "temporal.log",
            port=temporal_port,
            ui_port=temporal_ui_port,
            namespace=namespace,
            ui_codec_endpoint=ui_codec_endpoint,
        )

    @property
    def database_url(self) -> str:
        """URL of the project's database, without tables until it is migrated."""
        return self.postgres.url

    @property
    def temporal_address(self) -> str:
        """host:port of Temporal's front end."""
        return self.temporal.address

    @property
    def temporal_ui_url(self) -> str:
        """Address of Temporal's Web UI."""
        return self.temporal.ui_url

    async def start(self) -> None:
        """Start both and return when both answer; nothing is left running after a failure.

        Raises:
            EmbeddedStackFailed: One of them does not start.
        """
        self.temporal.reserve_ports()
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(self.postgres.start())
                starting.create_task(self.temporal.start())
        except BaseExceptionGroup as group:
            await self.stop()
            raise group.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both; nothing happens when they do not run."""
        await asyncio.gather(self.temporal.stop(), self.postgres.stop())

    async def connect(self, *, interceptors: Sequence[Interceptor] = ()) -> Client:
        """Connect to Temporal; interceptors go along with every call."""
        return await connect(
            TemporalTarget(
                address=self.temporal_address,
                namespace=self.namespace,
                encryption_keys=self._encryption_keys,
            ),
            interceptors=interceptors,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
