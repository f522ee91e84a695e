"""What tests of faults share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.processes import ServerProcess


@pytest.fixture(scope="session")
async def mortal_server(session_folder: Path) -> AsyncIterator[ServerProcess]:
    """A server whose children may be killed: it starts them again, the sooner the less often they have died.

    A test that kills one several times in a row takes a server of its own, where that goes fast.
    """
    running = await ServerProcess(
        session_folder / "mortal-server", {"PERDURE_HEARTBEAT_SECONDS": "3"}
    ).ready()
    yield running
    assert await running.stop() == 0
