"""Blocks that come with other distributions, through the entry point group `perdure.blocks`.

Installing a distribution is not enough: its code runs in our workers, so whoever runs the server names it.
"""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from app.blocks.base import Block
from app.errors import Category, PerdureError, Severity

ENTRY_POINTS = "perdure.blocks"


class RegistryRefused(PerdureError, ValueError):
    """The blocks do not go together."""

    code = "SETTINGS_REFUSED"
    severity = Severity.CRITICAL
    category = Category.SYSTEM


def load_packages(names: Sequence[str]) -> Iterator[type[Block]]:
    """Yield the blocks of installed distributions, in the order in which these are named.

    Args:
        names: Of the distributions. What no name stands for is not even imported.

    Raises:
        RegistryRefused: One is not installed, has no blocks, or cannot be loaded; the message says which.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=ENTRY_POINTS) if names else ():
        if entry_point.dist is not None:
            found.setdefault(_normalised(entry_point.dist.name), []).append(entry_point)
    for name in names:
        points = found.get(_normalised(name))
        if not points:
            raise RegistryRefused(
                f"The block package {name!r} is not installed, or has no entry point in {ENTRY_POINTS!r}"
            )
        for point in sorted(points):
            yield from _load(name, point)


def _load(package: str, point: EntryPoint) -> list[type[Block]]:
    try:
        value = point.load()
        classes = list(value) if isinstance(value, Iterable) and not inspect.isclass(value) else [value]
    except Exception as error:  # foreign code: whatever it raises is why the start is refused
        raise RegistryRefused(
            f"The block package {package!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    for found in classes:
        problem = _problem_with(found)
        if problem:
            raise RegistryRefused(f"The block package {package!r} offers {found!r}, {problem}")
    return classes


def _problem_with(found: Any) -> str:
    if not (inspect.isclass(found) and issubclass(found, Block)):
        return "which is no block"
    if inspect.isabstract(found):
        return "which has no `run`"
    try:
        is_canonical = str(uuid.UUID(found.id)) == found.id
    except (AttributeError, TypeError, ValueError):
        is_canonical = False
    return "" if is_canonical else "whose `id` is no UUID in lower case"


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
