"""Brings Temporal's schedules in line with the records of them, wherever something died between the two.

What is missing there is made, what is of another revision is made anew, what has no record is deleted. What Temporal
does by itself (it pauses a schedule whose execution has failed) is noted in the record.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.client import Client

from app.activities.contracts.reconciliation import Found, ScheduleReconciliation, SchedulesRequest
from app.activities.reconciling import count_findings, put_each_right
from app.database import Sessions
from app.errors import NotFound
from app.models import schedules
from app.models.tables.schedules import Schedule
from app.schedules import mirror
from app.schedules.mirror import Listed
from app.telemetry.tallies import Tallies

PAGE_SIZE = 500

log = structlog.get_logger(__name__)


class ScheduleReconciling(ScheduleReconciliation):
    """Compares schedules with the records of them."""

    def __init__(self, client: Client, sessions: Sessions, *, task_queue: str, tallies: Tallies) -> None:
        """Take both sides, the task queue by which our schedules are told from others', and who counts."""
        self._client = client
        self._sessions = sessions
        self._task_queue = task_queue
        self._tallies = tallies

    @activity.defn(name="reconcile_schedules")
    async def reconcile_schedules(self, request: SchedulesRequest) -> Found:
        """Compare all schedules with the records of them, and put right what differs."""
        before = datetime.now(UTC) - timedelta(seconds=request.patience.quiet_seconds)
        listed: dict[uuid.UUID, Listed] = {}
        async for entry in mirror.list_all(self._client, task_queue=self._task_queue):
            activity.heartbeat()
            listed[entry.id] = entry
        found, after = await self._sweep(listed, before), None
        while True:
            async with self._sessions() as session:
                page = await schedules.list_quiet_schedules(
                    session, before=before, after=after, limit=PAGE_SIZE
                )
            differing = [row for row in page if _differs(row, listed.get(row.id))]
            found = found.plus(await put_each_right(differing, self._put_right))
            if len(page) < PAGE_SIZE:
                return count_findings(self._tallies, found)
            after = page[-1].id

    async def _sweep(self, listed: Mapping[uuid.UUID, Listed], before: datetime) -> Found:
        """Delete what has no record."""
        ids: Sequence[uuid.UUID] = list(listed)
        unknown: list[uuid.UUID] = []
        for start in range(0, len(ids), PAGE_SIZE):
            part = ids[start : start + PAGE_SIZE]
            async with self._sessions() as session:
                known = await schedules.find_known(session, part)
            unknown += [schedule_id for schedule_id in part if schedule_id not in known]

        async def delete(schedule_id: uuid.UUID) -> Found:
            described = await mirror.describe(self._client, schedule_id)
            # A new one may belong to a transaction that has not ended yet.
            if described is None or described.created_at > before:
                return Found()
            await mirror.remove(self._client, schedule_id)
            log.info("schedule_without_record_deleted", schedule_id=str(schedule_id))
            return Found(schedules=1)

        return await put_each_right(unknown, delete)

    async def _put_right(self, row: Schedule) -> Found:
        async with self._sessions.begin() as session:
            # Whoever changes it now has to wait, so that what is pushed is not older than what they push.
            try:
                locked = await schedules.lock_schedule(session, row.user_id, row.id)
            except NotFound:
                return Found()
            described = await mirror.describe(self._client, row.id)
            is_same = (
                described is not None
                and described.revision == locked.revision
                and described.task_queue == self._task_queue
            )
            if described is None or not is_same:
                await mirror.push(self._client, locked, task_queue=self._task_queue)
                log.info("schedule_pushed", schedule_id=str(row.id), revision=locked.revision)
            elif (described.is_paused, described.note) != (locked.is_paused, locked.note):
                await schedules.note_pause(
                    session,
                    locked.user_id,
                    locked.id,
                    revision=locked.revision,
                    is_paused=described.is_paused,
                    note=described.note,
                )
            else:
                return Found()
        return Found(schedules=1)


def _differs(row: Schedule, listed: Listed | None) -> bool:
    return listed is None or (listed.revision, listed.is_paused, listed.note) != (
        row.revision,
        row.is_paused,
        row.note,
    )
