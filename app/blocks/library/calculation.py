"""The block that calculates with two numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock


class Operation(StrEnum):
    """What a calculator does with its two numbers."""

    ADD = "Add"
    SUBTRACT = "Subtract"
    MULTIPLY = "Multiply"
    DIVIDE = "Divide"
    POWER = "Power"


_OPERATIONS: Mapping[Operation, Callable[[float, float], Any]] = {
    Operation.ADD: operator.add,
    Operation.SUBTRACT: operator.sub,
    Operation.MULTIPLY: operator.mul,
    Operation.DIVIDE: operator.truediv,
    Operation.POWER: operator.pow,
}


class CalculatorBlock(PureBlock):
    """Calculate with two numbers.

    What has no finite result gives the text `Infinity` (a division by zero) or `NaN` (anything else).
    """

    id = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"
    categories = (BlockCategory.LOGIC,)

    class Input(BlockInput):
        """Two numbers and what to do with them."""

        operation: Operation
        """What to calculate."""
        a: float
        """The first number."""
        b: float
        """The second number."""
        round_result: bool = False
        """Whether to round to the nearest whole number, halves to the even one."""

    class Output(BlockOutput):
        """The result."""

        result: float
        """A whole number when rounded."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the result."""
        yield "result", _calculate(given.operation, given.a, given.b, is_rounded=given.round_result)


def _calculate(operation: Operation, a: float, b: float, *, is_rounded: bool) -> float:
    try:
        result = _OPERATIONS[operation](a, b)
        # A negative number to a broken power is complex, which round() refuses as well.
        if isinstance(result, complex):
            return math.nan
        return round(result) if is_rounded else float(result)
    except ZeroDivisionError:
        return math.inf
    except (ArithmeticError, ValueError):
        return math.nan
