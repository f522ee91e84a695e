"""What cannot be put right does not keep the rest from it."""

from __future__ import annotations

from temporalio.testing import ActivityEnvironment

from app.activities.contracts.reconciliation import Found
from app.activities.reconciling import put_each_right


async def test_what_goes_wrong_with_one_is_counted_and_the_others_are_put_right() -> None:
    done: list[int] = []

    async def put_right(number: int) -> Found:
        if number == 3:
            raise ValueError("This one is beyond us")
        done.append(number)
        return Found(checked=1, settled=1)

    found = await ActivityEnvironment().run(put_each_right, list(range(20)), put_right)

    assert found == Found(checked=19, settled=19, failed=1)
    assert sorted(done) == [number for number in range(20) if number != 3]
