"""Says in plain words what a pin takes and what it was given. Never quotes what may be a secret."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from app.graph.annotations import bare, members

_LONGEST_QUOTE = 60
_MOST_CHOICES = 10
_SECRET_WORDS = (
    *("credentials", "apikey", "password", "token", "secret"),
    *("authorization", "cookie", "privatekey", "passphrase", "passwd"),
)
_BETWEEN_WORDS = str.maketrans("", "", "_- ")

_WORDS: Mapping[Any, str] = {
    Any: "any value",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    Mapping: "an object",
    types.NoneType: "null",
    datetime.date: "a date",
    datetime.time: "a time",
    datetime.datetime: "a date and time",
}


def is_secret_name(name: str) -> bool:
    """Answer whether the value of a field of this name may be a secret."""
    joined = name.lower().translate(_BETWEEN_WORDS)
    return any(word in joined for word in _SECRET_WORDS)


def is_credentials(name: str) -> bool:
    """Answer whether a field is filled with credentials when the graph runs."""
    return name == "credentials" or name.endswith("_credentials")


def quoted(text: str) -> str:
    """Return a text of the caller's in quotes, cut to a readable length."""
    return f"'{text}'" if len(text) <= _LONGEST_QUOTE else f"'{text[:_LONGEST_QUOTE]}…'"


def misfit(name: str, value: Any, annotation: Any, *, is_secret: bool = False) -> str:
    """Say that a value is not what a field takes.

    Args:
        name: The field; one that sounds secret has its value kept back.
        value: What was given.
        annotation: What the field takes.
        is_secret: Whether to keep the value back whatever the name.
    """
    given = "what was given" if is_secret or is_secret_name(name) else _describe_value(value)
    return f"{quoted(name)} takes {describe_type(annotation)}; {given} is not that"


def describe_type(annotation: Any) -> str:
    """Return what a type is called, the null it may allow left out."""
    words = dict.fromkeys(_describe_one(bare(member)) for member in members(annotation))
    if len(words) > 1:
        words.pop("null", None)
    return " or ".join(words)


def _describe_one(annotation: Any) -> str:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin in _WORDS:
        return _WORDS[origin]
    if origin in (list, set, frozenset, tuple):
        element = bare(arguments[0]) if arguments else Any
        return "a list" if element is Any else f"a list (each: {describe_type(element)})"
    if origin is Literal:
        return _one_of(arguments)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _one_of(tuple(member.value for member in origin))
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return f"an object with {', '.join(origin.model_fields)}"
    return f"a value of type {getattr(origin, '__name__', 'unknown')}"


def _one_of(choices: tuple[Any, ...]) -> str:
    shown = ", ".join(_describe_value(choice) for choice in choices[:_MOST_CHOICES])
    return f"one of {shown}" + (", …" if len(choices) > _MOST_CHOICES else "")


def _describe_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        # A huge integer has no text: asking for it would fail.
        return f"{value:.6g}" if isinstance(value, float) or abs(value) < 10**15 else "this number"
    if isinstance(value, dict):
        return "this object"
    return "this list" if isinstance(value, list | tuple) else "this value"
