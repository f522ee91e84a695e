"""How a value leaves a block: as plain JSON. Numbers and texts that JSON cannot carry are replaced here, once."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from pydantic_core import PydanticSerializationError, to_jsonable_python

from app.errors import BlockLimitExceeded, BlockOutputInvalid

Json: TypeAlias = Any
"""`None`, bool, int, float, str, a list of these, or a dict of these by text."""

MAX_DEPTH = 150
"""Deeper values are refused: the JSON readers on their way stop at 200 levels."""


def to_json(value: Any) -> Json:
    """Return a value as JSON; containers are new ones.

    Infinity and NaN become the texts `Infinity`, `-Infinity` and `NaN`. NUL stays in a text. The halves of a
    surrogate pair are joined, and a half that stands alone becomes U+FFFD, since it has no UTF-8 form.

    Raises:
        BlockOutputInvalid: The value has no JSON form.
        BlockLimitExceeded: The value is nested too deep.
    """
    return _to_json(value, MAX_DEPTH)


def _to_json(value: Any, levels: int) -> Json:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _whole_characters(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else _name_of(value)
    if levels == 0:
        raise BlockLimitExceeded(f"A value is nested more than {MAX_DEPTH} levels deep")
    if kind is dict:
        return {_to_key(key): _to_json(item, levels - 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_to_json(item, levels - 1) for item in value]
    try:
        plain = to_jsonable_python(value, inf_nan_mode="strings")
    except (PydanticSerializationError, UnicodeError, RecursionError) as error:
        raise BlockOutputInvalid(f"A value of type {kind.__name__} has no JSON form") from error
    return _to_json(plain, levels - 1)


def _to_key(key: Any) -> str:
    if type(key) is str:
        return key if key.isascii() else _whole_characters(key)
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return str(to_json(key))


def _name_of(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _whole_characters(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def identity_of(value: Any) -> Any:
    """Return something hashable that is the same for two values exactly if they are equal as JSON.

    1 and 1.0 are equal, true and 1 are not, and the order of keys does not matter.

    Raises:
        RecursionError: The value is nested too deep.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return ("dict", frozenset((key, identity_of(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(map(identity_of, value)))
    return value
