from __future__ import annotations

from typing import Any

import pytest

from app.blocks.base import Wait
from app.blocks.library.timer import CountdownTimerBlock
from app.errors import BlockInputInvalid, BlockLimitExceeded

block = CountdownTimerBlock()


def wait_of(**given: Any) -> Wait:
    return block.wait(CountdownTimerBlock.Input(**given))


def test_a_timer_waits_for_the_sum_of_its_times() -> None:
    assert wait_of(seconds=1, minutes=2, hours=3, days=4) == Wait(1 + 120 + 3 * 3_600 + 4 * 86_400, rounds=1)


def test_a_timer_without_times_waits_for_nothing() -> None:
    assert wait_of() == Wait(0, rounds=1)


def test_a_time_may_be_the_text_of_a_number() -> None:
    assert wait_of(seconds=" 1.5 ", minutes="1").seconds == 61.5


def test_a_time_below_zero_counts_as_zero() -> None:
    assert wait_of(seconds=-5, minutes="-1", hours=1).seconds == 3_600


@pytest.mark.parametrize("text", ["", "soon", "nan", "1h"])
def test_a_time_that_is_no_number_is_refused_by_its_pin(text: str) -> None:
    with pytest.raises(BlockInputInvalid, match="minutes"):
        wait_of(minutes=text)


@pytest.mark.parametrize(
    "given", [{"days": 3_651}, {"seconds": "inf"}, {"seconds": "1e400"}, {"days": 10**400}]
)
def test_a_timer_of_more_than_ten_years_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BlockLimitExceeded):
        wait_of(**given)


def test_a_timer_repeats() -> None:
    assert wait_of(repeat=3).rounds == 3


def test_a_timer_that_repeats_less_than_once_does_nothing() -> None:
    assert wait_of(repeat=-1).rounds == 0


def test_a_timer_does_not_repeat_for_ever() -> None:
    assert wait_of(repeat=10_000).rounds == 10_000
    with pytest.raises(BlockLimitExceeded):
        wait_of(repeat=10_001)


def test_each_round_emits_the_message() -> None:
    assert list(block.run(CountdownTimerBlock.Input())) == [("output_message", "timer finished")]
    assert list(block.run(CountdownTimerBlock.Input(input_message={"a": 1}))) == [
        ("output_message", {"a": 1})
    ]


def test_the_timer_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"
    assert set(signature.inputs) == {"input_message", "seconds", "minutes", "hours", "days", "repeat"}
    assert not signature.required
    assert signature.outputs == {"output_message", "error"}
