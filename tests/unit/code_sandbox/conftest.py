from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import MEGABYTE, Limits
from tests.walls import can_build_walls

# Where there is no bubblewrap, nothing can be tried to break out of; test_opening.py says which of the two this is.
collect_ignore = [] if can_build_walls() else ["test_running.py", "test_escapes.py", "test_exhaustion.py"]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[BubblewrapSandbox]:
    opened = BubblewrapSandbox(
        limits=Limits(memory_bytes=400 * MEGABYTE, folder_bytes=8 * MEGABYTE, output_bytes=200_000)
    )
    yield opened
    opened.close()
