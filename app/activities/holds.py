"""What a node execution that waits for something outside needs done: when it begins to wait, and when that is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from app.activities.contracts.messages import Release
from app.activities.contracts.waves import WaveRequest
from app.activities.node_runs import NodeRun
from app.blocks.base import BlockInput, Emitted
from app.models.changes import Changes


class Hold(Protocol):
    """One kind of such waits. May be repeated in all it does; what it adds to the changes the wave records."""

    async def begin(
        self, run: NodeRun, given: BlockInput, request: WaveRequest, changes: Changes
    ) -> list[Any]:
        """Prepare the wait; return the step that tells the workflow of it. May be repeated.

        Raises:
            BlockError: The node execution fails instead.
        """

    async def end(
        self, run: NodeRun, given: BlockInput, release: Release, changes: Changes
    ) -> Sequence[Emitted] | None:
        """Return what is emitted now that the wait is over, or None when it is not.

        Raises:
            BlockError: The node execution fails; `run` may hold what it has emitted before.
        """

    async def remind(self, run: NodeRun, changes: Changes) -> None:
        """Tell those concerned that it still waits, if it does."""
