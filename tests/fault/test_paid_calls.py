"""Each call is charged once and what it costs, whatever dies between reservation and settlement: real SIGKILL.

`python -m tests.fault.paid_calls --kills 100` kills more often, and prints what came of it.
"""

from __future__ import annotations

from pathlib import Path

from tests.engine import Engine
from tests.fault.harness.paid_calls import paid_calls, plan_kills
from tests.stack import Stack

KILLS = 4
"""Of the worker and of Postgres, each when calls were asked, and when they were answered."""


async def test_no_credit_is_lost_or_charged_twice_whoever_dies(
    engine: Engine, stack: Stack, short_folder: Path
) -> None:
    async with paid_calls(engine, stack, short_folder) as calls:
        await calls.begin(KILLS)
        for kill in plan_kills(KILLS):
            await calls.inflict(kill)
        verdict = await calls.end()

    assert verdict.wrongs == []
    assert verdict.kills.total() == KILLS
    assert verdict.charged == verdict.worth > 0
    assert verdict.settled == verdict.calls < verdict.answers
    assert verdict.left_reserved == 0
