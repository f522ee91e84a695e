"""What a value becomes when it is wanted as another kind of value. Nothing here fails: there is always an answer."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

COLLECTIONS = (list, tuple, set, frozenset)
_TRUE_TEXTS = frozenset({"true", "1"})


class NotJson(ValueError):
    """The text is not JSON."""


def parse_json(text: str) -> Any:
    """Return what a JSON text says. Numbers that JSON does not have stay the words that stand for them.

    Raises:
        NotJson: It says nothing, or is nested too deep to be read.
    """
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise NotJson from error


def to_text(value: Any) -> str:
    """Return a string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)


def to_whole(value: Any) -> int:
    """Return the integer that a value stands for, its fraction cut off; 0 for what is no number."""
    try:
        return int(_measure(value))
    except (OverflowError, ValueError):
        return 0


def to_real(value: Any) -> float:
    """Return the number that a value stands for; 0 for what is none."""
    try:
        return float(_measure(value))
    except OverflowError:
        return 0.0


def to_truth(value: Any) -> bool:
    """Return whether a value counts as true. Of texts only `true` and `1` do."""
    return value.lower() in _TRUE_TEXTS if isinstance(value, str) else bool(value)


def to_list(value: Any) -> list[Any]:
    """Return an object as its pairs, a text that is a JSON list as that list, one value as a list of it."""
    if isinstance(value, COLLECTIONS):
        return list(value)
    if isinstance(value, dict):
        return [[key, item] for key, item in value.items()]
    if isinstance(value, str) and (text := value.strip()).startswith("[") and text.endswith("]"):
        try:
            parsed: list[Any] = parse_json(text)
        except NotJson:
            return [value]
        return parsed
    return [value]


def to_object(value: Any) -> dict[Any, Any]:
    """Return a text that is a JSON object as that object, a list by index, any other value under `value`."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except NotJson:
            return {"value": value}
        return value if isinstance(value, dict) else {"value": value}
    if isinstance(value, dict):
        return value
    return dict(enumerate(value)) if isinstance(value, COLLECTIONS) else {"value": value}


def _measure(value: Any) -> int | float:
    """Return a collection's length, the number that a text says, else 0."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, (*COLLECTIONS, dict)):
        return len(value)
    # Whole numbers first: a float would lose the last digits of a long one.
    for read in (int, float):
        try:
            number: int | float = read(value)
        except (TypeError, ValueError, OverflowError):
            continue
        return number
    return 0


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, fallback=str)
