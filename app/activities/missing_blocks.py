"""Calls of blocks that this worker does not have, because a package is not installed here or the block is newer.

Another worker may have it, so a call is handed back and costs no attempt; only when nobody has had it for a quarter of
an hour does its node fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.attempts import count_handed_back
from app.errors import BlockMissing

MOST_HAND_BACKS = 30
MAX_PAUSE_SECONDS = 30.0

log = structlog.get_logger(__name__)


@activity.defn(dynamic=True)
async def hand_back(_: Sequence[RawValue]) -> None:
    """Take a call of a block that is not here, and hand it back.

    Raises:
        ApplicationError: Always; after the last time not to be tried again, and the workflow records the failure.
    """
    info = activity.info()
    handed_back = count_handed_back() + 1
    activity.heartbeat(handed_back)
    log.warning("block_missing", block=info.activity_type, handed_back=handed_back)
    raise ApplicationError(
        f"No worker here has the block {info.activity_type[:80]!r}",
        type=BlockMissing.code,
        non_retryable=handed_back >= MOST_HAND_BACKS,
        next_retry_delay=timedelta(seconds=min(2.0 ** (handed_back - 1), MAX_PAUSE_SECONDS)),
        category=ApplicationErrorCategory.BENIGN,
    )
