"""What the driver says of a Postgres that has just gone is waited out like any other outage."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import asyncpg

from app.activities.outages import wait_out


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


GREETING = b"".join(
    _message(*each)
    for each in ((b"R", struct.pack("!I", 0)), (b"S", b"server_version\018.0\0"), (b"Z", b"I"))
)
FAREWELL = _message(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0")
NOTICE = _message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mgone\0\0")


class DyingPostgres:
    """Says that it goes to whoever is connected, and has not closed the connection yet."""

    def __init__(self) -> None:
        self.is_dying = asyncio.Event()
        self._was_heard = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, and go when the time has come."""
        await reader.readexactly(struct.unpack("!I", await reader.readexactly(4))[0] - 4)
        writer.write(GREETING)
        await self.is_dying.wait()
        writer.write(FAREWELL + NOTICE)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def die(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Go, and wait until a connection has been told."""
        connection.add_log_listener(lambda *_: self._was_heard.set())
        self.is_dying.set()
        await self._was_heard.wait()


async def test_a_connection_that_has_been_told_of_the_end_and_is_still_open_is_an_outage() -> None:
    postgres, failures = DyingPostgres(), list[Exception]()
    server = await asyncio.start_server(postgres.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def write() -> str:
        if failures:
            return "written"
        connection = await asyncpg.connect(f"postgresql://user@127.0.0.1:{port}/database", ssl=False)
        try:
            await postgres.die(connection)
            return str(await connection.fetchval("SELECT 1"))
        except Exception as error:  # whatever it is: that is what is to be found out
            failures.append(error)
            raise
        finally:
            connection.terminate()

    async with server:
        assert await wait_out(write) == "written"
    assert [type(failure) for failure in failures] == [asyncpg.InternalClientError]
