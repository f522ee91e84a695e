"""Messages to other workflows, which may have ended before they arrive."""

from __future__ import annotations

from collections.abc import Awaitable

from temporalio import workflow
from temporalio.exceptions import FailureError


async def tell(message: Awaitable[None]) -> None:
    """Send a message; one that finds nobody any more is no failure of the sender."""
    try:
        await message
    except FailureError as error:
        workflow.logger.info("A workflow was not told: %s", error)
