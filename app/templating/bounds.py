"""How large the results of string operations will be, asked before they are made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import Formatter
from typing import Any

from app.errors import BlockLimitExceeded
from app.templating.budget import Budget

MAX_WIDTH = 10_000
MAX_INTEGER_BITS = 4_096

_PRINTF_FIELD = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?[A-Za-z%]")
_NUMBER = re.compile(r"\d+")


def bound_product(budget: Budget, left: Any, right: Any) -> None:
    """Make sure that `left * right` is small enough."""
    for sized, count in ((left, right), (right, left)):
        if isinstance(sized, (str, list, tuple)) and isinstance(count, int):
            budget.make(len(sized) * max(0, count))
            return
    if isinstance(left, int) and isinstance(right, int):
        _require_bits(left.bit_length() + right.bit_length())


def bound_power(left: Any, right: Any) -> None:
    """Make sure that `left ** right` is small enough."""
    if isinstance(left, int) and isinstance(right, int):
        _require_bits(left.bit_length() * max(0, right))


def bound_sum(budget: Budget, left: Any, right: Any) -> None:
    """Make sure that `left + right` is small enough."""
    if isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
        budget.make(len(left) + len(right))
    elif isinstance(left, int) and isinstance(right, int):
        _require_bits(max(left.bit_length(), right.bit_length()))


def bound_printf(budget: Budget, template: str, values: Any) -> None:
    """Make sure that `template % values` is small enough."""
    widths = [width for field in _PRINTF_FIELD.finditer(template) for width in field.groups() if width]
    _bound_fields(budget, template, widths, count=template.count("%"), values=values)


def bound_format(budget: Budget, template: str, values: Any) -> None:
    """Make sure that `template.format(values)` is small enough."""
    specs = [spec or "" for _, name, spec, _ in Formatter().parse(template) if name is not None]
    widths = ["*" if "{" in spec else width for spec in specs for width in _NUMBER.findall(spec) or [""]]
    _bound_fields(budget, template, [w for w in widths if w], count=len(specs), values=values)


def bound_replace(budget: Budget, text: str, old: str, new: str) -> None:
    """Make sure that `text.replace(old, new)` is small enough."""
    budget.make(len(text) + text.count(old) * max(0, len(new) - len(old)))


def bound_join(budget: Budget, separator: str, items: Iterable[Any]) -> list[Any]:
    """Make sure that the joined text is small enough, and return the items."""
    found = list(budget.counted(items))
    budget.make(sum(map(budget.measure, found)) + len(separator) * len(found))
    return found


def bound_width(budget: Budget, width: Any) -> None:
    """Make sure that a width is one that people use."""
    if isinstance(width, int) and abs(width) > MAX_WIDTH:
        raise BlockLimitExceeded(f"The template asks for a width of more than {MAX_WIDTH:,}")
    budget.make(abs(int(width)))


def _bound_fields(budget: Budget, template: str, widths: list[str], *, count: int, values: Any) -> None:
    # A width that is itself a value cannot be known beforehand.
    if any("*" in width or len(width) > len(str(MAX_WIDTH)) or int(width) > MAX_WIDTH for width in widths):
        raise BlockLimitExceeded(
            f"The template asks for a width of more than {MAX_WIDTH:,}, or an unknown one"
        )
    size = budget.measure(values)
    # 400: what the longest float takes.
    budget.make(len(template) + count * (size + 400) + sum(map(int, widths)))


def _require_bits(bits: int) -> None:
    if bits > MAX_INTEGER_BITS:
        raise BlockLimitExceeded("The template calculates with a number that is too large")
