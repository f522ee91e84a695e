"""Dynamic pin names: `items_$_0`, `values_#_key` and `body_@_title` lead into a list, an object, an attribute.

On the way in they are folded into their field; on the way out they select a part of what was emitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from typing import Any

from app.errors import BlockInputInvalid

MAX_LIST_INDEX = 10_000
MAX_STEPS = 32
MAX_NAME_LENGTH = 1_000
MAX_GAPS = 100_000
"""How many places of lists one fold may leave empty: a few names could otherwise ask for gigabytes."""

_DELIMITER = re.compile(r"(_[$#@]_)")


class PinNameInvalid(BlockInputInvalid, ValueError):
    """The name of a pin asks for a place that cannot be."""


class StepKind(StrEnum):
    """How a step leads into a value; the value is the delimiter in the name."""

    INDEX = "_$_"
    KEY = "_#_"
    ATTRIBUTE = "_@_"


@dataclass(frozen=True, slots=True)
class Step:
    """One step from a value to a part of it."""

    kind: StepKind
    key: str | int
    """An int for an index, else text."""


@lru_cache(maxsize=16_384)
def split_pin(name: str) -> tuple[str, tuple[Step, ...]]:
    """Split a pin's name into its field and the steps into the field's value, from left to right.

    A name without steps, or with an empty part, is a plain one: it comes back whole.

    Raises:
        PinNameInvalid: A list index is no whole number or too large, the steps go too deep, the name is too long.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise PinNameInvalid(f"'{name[:80]}…' is longer than {MAX_NAME_LENGTH} characters")
    parts = _DELIMITER.split(name)
    if len(parts) == 1 or not all(parts):
        return name, ()
    if len(parts) > 2 * MAX_STEPS + 1:
        raise PinNameInvalid(f"'{name[:80]}…' goes more than {MAX_STEPS} steps deep")
    return parts[0], tuple(map(_step, parts[1::2], parts[2::2], repeat(name)))


def base_name(name: str) -> str:
    """Return the field that a pin's name belongs to.

    Raises:
        PinNameInvalid: As for `split_pin`.
    """
    return split_pin(name)[0]


def is_dynamic(name: str) -> bool:
    """Answer whether a pin's name leads into the value of a field.

    Raises:
        PinNameInvalid: As for `split_pin`.
    """
    return bool(split_pin(name)[1])


def fold(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with every dynamic name folded into the list or object of its field.

    What the field already holds is kept and added to, gaps in lists become null, and the dynamic names stay
    beside it. The order of the names does not matter. Nothing that was passed in is changed.

    Raises:
        PinNameInvalid: A name is impossible, or leads into a value of another kind.
    """
    branches: dict[str, _Branch] = {}
    for name, value in data.items():
        base, steps = split_pin(name)
        if steps:
            branches.setdefault(base, _Branch(base)).descend(steps).put(value)
    folded = dict(data)
    folding = _Folding()
    for base, branch in branches.items():
        folded[base] = folding.merge(folded.get(base), branch)
    return folded


def select(value: Any, source_name: str, emitted_pin: str) -> tuple[bool, Any]:
    """Answer whether a link from `source_name` carries what was emitted on a pin, and what it then carries.

    A link from the pin itself carries everything, null too. A link that selects a part carries it unless it
    is missing or null.

    Raises:
        PinNameInvalid: The link's source name is impossible.
    """
    if source_name == emitted_pin:
        return True, value
    base, steps = split_pin(source_name)
    if not steps or base != emitted_pin:
        return False, None
    for step in steps:
        value = _part(value, step)
        if value is None:
            return False, None
    return True, value


def _part(value: Any, step: Step) -> Any:
    if isinstance(step.key, int):
        return value[step.key] if isinstance(value, list) and step.key < len(value) else None
    return value.get(step.key) if isinstance(value, dict) else None


def _step(delimiter: str, part: str, name: str) -> Step:
    kind = StepKind(delimiter)
    if kind is not StepKind.INDEX:
        return Step(kind, part)
    if not (part.isascii() and part.isdigit()):
        raise PinNameInvalid(f"'{name[:80]}': '{part[:20]}' is no list index")
    if len(part) > len(str(MAX_LIST_INDEX)) or int(part) > MAX_LIST_INDEX:
        raise PinNameInvalid(f"'{name[:80]}': a list index can be {MAX_LIST_INDEX} at most")
    return Step(kind, int(part))


@dataclass(slots=True)
class _Branch:
    """What the names of one field put below one place."""

    path: str
    value: Any = None
    has_value: bool = False
    children: dict[Step, _Branch] = field(default_factory=dict)

    def descend(self, steps: tuple[Step, ...]) -> _Branch:
        branch = self
        for step in steps:
            if step not in branch.children:
                branch.children[step] = _Branch(f"{branch.path}{step.kind}{step.key}")
            branch = branch.children[step]
        return branch

    def put(self, value: Any) -> None:
        self.value, self.has_value = value, True


class _Folding:
    """One fold: builds the containers and counts the gaps it leaves."""

    def __init__(self) -> None:
        self._gaps = 0

    def merge(self, present: Any, branch: _Branch) -> Any:
        """Return the value at a branch, given what was there before."""
        value = branch.value if branch.has_value else present
        if not branch.children:
            return value
        is_list = all(step.kind is StepKind.INDEX for step in branch.children)
        if not is_list and any(step.kind is StepKind.INDEX for step in branch.children):
            raise PinNameInvalid(f"'{branch.path[:80]}' cannot be a list and an object at once")
        return self._filled_list(value, branch) if is_list else self._filled_object(value, branch)

    def _filled_list(self, present: Any, branch: _Branch) -> list[Any]:
        items = list(_require_kind(present, list, branch))
        places = [(int(step.key), child) for step, child in branch.children.items()]
        # From the front: a place counts as a gap only where no name fills it.
        for index, child in sorted(places, key=itemgetter(0)):
            self._gaps += max(0, index - len(items))
            if self._gaps > MAX_GAPS:
                raise PinNameInvalid(f"'{branch.path[:80]}' leaves too many places of its list empty")
            items.extend([None] * (index + 1 - len(items)))
            items[index] = self.merge(items[index], child)
        return items

    def _filled_object(self, present: Any, branch: _Branch) -> dict[str, Any]:
        items = dict(_require_kind(present, dict, branch))
        for step, child in branch.children.items():
            key = str(step.key)
            items[key] = self.merge(items.get(key), child)
        return items


def _require_kind(present: Any, kind: type[list[Any]] | type[dict[Any, Any]], branch: _Branch) -> Any:
    """Return what is there to be added to; an empty value of any kind counts as nothing there.

    Raises:
        PinNameInvalid: Something of another kind is there, which would be lost.
    """
    if isinstance(present, kind):
        return present
    if present is None or (isinstance(present, str | list | dict) and not present):
        return kind()
    wanted = "a list" if kind is list else "an object"
    raise PinNameInvalid(f"'{branch.path[:80]}' is needed as {wanted}, but a value of another kind is there")
