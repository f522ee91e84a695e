"""The filters that a template may use: a list of what is allowed, each spending from the budget.

Left out on purpose: `tojson`, `pprint`, `urlize`, `xmlattr`, `attr`, and `random`, since a rendering may be
repeated and has to give the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from jinja2 import filters, pass_eval_context
from jinja2.nodes import EvalContext

from app.errors import BlockError, BlockLimitExceeded
from app.templating.bounds import bound_join, bound_replace, bound_width
from app.templating.budget import Budget, current_budget

COUNTED = "_counted"
CONCATENATED = "_concatenated"
"""Two names that the compiler puts around loops and `~`."""

_MAX_SLOW_TEXT = 100_000
_MAX_PARTS = 10_000
_MAX_PRECISION = 100

_OF_TEXT = (
    "capitalize center e escape forceescape indent lower replace string striptags title trim truncate "
    "upper urlencode wordcount wordwrap"
)
_OF_ANYTHING = (
    "abs batch count d default dictsort filesizeformat first float groupby int items last length list map max "
    "min reject rejectattr reverse round safe select selectattr slice sort sum unique"
)
_SLOW = frozenset({"striptags", "wordwrap", "title"})

_NUMBER_FORMAT = re.compile(r"[^%]{0,200}%[ #+\-0]{0,5}\d{0,3}(?:\.\d{0,2})?[dfFeEgGs](?:[^%]|%%){0,200}")


def make_filters() -> dict[str, Callable[..., Any]]:
    """Return every filter by name."""
    allowed: dict[str, Callable[..., Any]] = {
        name: _guarded(name, filters.FILTERS[name]) for name in (_OF_TEXT + " " + _OF_ANYTHING).split()
    }
    return allowed | {"join": _join, "format": _format, COUNTED: _counted, CONCATENATED: _concatenated}


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    # Some filters are handed something of the compiler's before the value.
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0
    is_of_text = name in _OF_TEXT.split()
    bound = _BOUNDS.get(name)

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        budget = current_budget()
        budget.step()
        if is_of_text:
            size = budget.measure(args[skipped])
            if name in _SLOW and size > _MAX_SLOW_TEXT:
                raise BlockLimitExceeded(f"The filter `{name}` takes at most {_MAX_SLOW_TEXT:,} characters")
        if bound is not None:
            bound(budget, *args[skipped:], **kwargs)
        return _spent(budget, function(*args, **kwargs))

    return guarded


def _spent(budget: Budget, result: Any) -> Any:
    if isinstance(result, (str, list, tuple)):
        budget.make(len(result))
    elif isinstance(result, Iterator):
        return budget.counted(result)
    return result


def _bound_center(budget: Budget, value: Any, width: int = 80) -> None:
    bound_width(budget, width)


def _bound_indent(budget: Budget, value: Any, width: int | str = 4, *_: Any, **__: Any) -> None:
    columns = len(width) if isinstance(width, str) else max(0, int(width))
    budget.make((str(value).count("\n") + 2) * columns)


def _bound_wordwrap(
    budget: Budget,
    value: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    if len(wrapstring or "") > len("<br />\r\n"):
        raise BlockLimitExceeded("`wordwrap` takes a short `wrapstring` only")


def _bound_replace(budget: Budget, value: Any, old: Any, new: Any, *_: Any, **__: Any) -> None:
    bound_replace(budget, str(value), str(old), str(new))


def _bound_parts(budget: Budget, value: Any, parts: int, *_: Any, **__: Any) -> None:
    if not 0 < parts <= _MAX_PARTS:
        raise BlockLimitExceeded(f"`batch` and `slice` take a number from 1 to {_MAX_PARTS:,}")
    budget.make(parts)


def _bound_round(budget: Budget, value: Any, precision: int = 0, *_: Any, **__: Any) -> None:
    if abs(precision) > _MAX_PRECISION:
        raise BlockLimitExceeded(f"`round` takes a precision of {_MAX_PRECISION} at most")


def _bound_sum(budget: Budget, iterable: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, (int, float)):
        raise BlockError("`sum` adds numbers only")


_BOUNDS: Mapping[str, Callable[..., None]] = {
    "center": _bound_center,
    "indent": _bound_indent,
    "wordwrap": _bound_wordwrap,
    "replace": _bound_replace,
    "batch": _bound_parts,
    "slice": _bound_parts,
    "round": _bound_round,
    "sum": _bound_sum,
}


@pass_eval_context
def _join(
    eval_ctx: EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None
) -> str:
    budget = current_budget()
    budget.step()
    joined = filters.sync_do_join(eval_ctx, bound_join(budget, str(d), value), d, attribute)
    budget.make(len(joined))
    return joined


def _format(value: Any, pattern: str | None = None) -> Any:
    """Write a number by a pattern such as `%.2f`; without a pattern the value stays as it is."""
    current_budget().step()
    if not pattern:
        return value
    if not _NUMBER_FORMAT.fullmatch(pattern):
        raise BlockError("`format` takes a pattern with one number in it, such as '%.2f'")
    return pattern % float(value)


def _counted(value: Any) -> Iterator[Any]:
    return current_budget().counted(value)


def _concatenated(values: list[Any]) -> list[Any]:
    budget = current_budget()
    budget.step()
    budget.make(sum(map(budget.measure, values)))
    return values
