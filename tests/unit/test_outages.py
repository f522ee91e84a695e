"""What the driver says of a Postgres that has just gone is waited out like any other outage."""

from __future__ import annotations

import asyncpg

from app.activities.outages import wait_out


async def test_a_connection_that_has_been_told_of_the_end_and_is_still_open_is_an_outage() -> None:
    # As asyncpg raises it between the last words of a Postgres that is killed and the end of the connection.
    failures = [
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")
    ]

    async def write() -> str:
        if failures:
            raise failures.pop()
        return "written"

    assert await wait_out(write) == "written"
