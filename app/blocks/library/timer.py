"""The timer block. How a wait survives restarts is the engine's affair, not known here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, TimerBlock, Wait
from app.errors import BlockInputInvalid, BlockLimitExceeded

MAX_WAIT_SECONDS = 10 * 365 * 86_400
MAX_ROUNDS = 10_000


class CountdownTimerBlock(TimerBlock):
    """Wait for the given time, then pass a message on; repeat as often as asked.

    The wait is durable: it goes on while no worker runs and is not begun anew after a restart.
    """

    id = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """How long to wait, what to say then, and how often."""

        input_message: Any = "timer finished"
        """What is passed on after each wait."""
        seconds: int | str = 0
        """Added to the other three. A number or a text of one; less than zero counts as zero."""
        minutes: int | str = 0
        """As `seconds`."""
        hours: int | str = 0
        """As `seconds`."""
        days: int | str = 0
        """As `seconds`."""
        repeat: int = 1
        """How many times to wait and emit; nothing happens when it is not positive."""

    class Output(BlockOutput):
        """One message per round."""

        output_message: Any
        """The input message."""

    def wait(self, given: Input) -> Wait:
        """Return the sum of the four times, and the number of rounds.

        Raises:
            BlockInputInvalid: One of the times is not a number.
            BlockLimitExceeded: A round is longer than 10 years, or there are more than 10,000 rounds.
        """
        seconds = (
            _number("seconds", given.seconds)
            + _number("minutes", given.minutes) * 60
            + _number("hours", given.hours) * 3_600
            + _number("days", given.days) * 86_400
        )
        if seconds > MAX_WAIT_SECONDS:
            raise BlockLimitExceeded("The timer is set to more than 10 years")
        if given.repeat > MAX_ROUNDS:
            raise BlockLimitExceeded(f"The timer is to repeat more than {MAX_ROUNDS:,} times")
        return Wait(seconds=seconds, rounds=max(0, given.repeat))

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the message."""
        yield "output_message", given.input_message


def _number(pin: str, value: int | str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if isinstance(value, int) and value > 0 else 0.0
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise BlockInputInvalid(f"`{pin}` is not a number")
    return max(0.0, number)
