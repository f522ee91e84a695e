"""Finds the JSON in what a language model wrote: alone, between fences, or with words around it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

MAX_STARTS = 50
"""How many places in a text are tried where a value may begin."""
MAX_LITERAL_CHARACTERS = 100_000

_FENCED = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)```", re.DOTALL)
_START = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(strict=False)


class NoJson(Exception):
    """There is no JSON value in the text. The message says so to the model that wrote it."""


def find_json(text: str) -> Any:
    """Return the object or array in a text; where there are several, the one that takes the most room.

    Raises:
        NoJson: There is none.
    """
    for piece in (text, *_FENCED.findall(text)):
        value = _whole(piece.strip())
        if isinstance(value, dict | list):
            return value
    found = max(_within(text), key=lambda span: span[0], default=None)
    if found is None:
        raise NoJson("There is no JSON object or array in it.")
    return found[1]


def find_list(text: str) -> list[Any]:
    """Return the list in a text: an array, or an object that holds nothing but one, or a list as Python writes it.

    Raises:
        NoJson: There is none.
    """
    try:
        value = find_json(text)
    except NoJson:
        value = _literal(text)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    # Of a Python list with nested ones in it, JSON may see those alone.
    if not isinstance(value, list):
        value = _literal(text)
    if not isinstance(value, list):
        raise NoJson("There is no list in it.")
    return value


def _whole(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _within(text: str) -> Iterator[tuple[int, Any]]:
    at = 0
    for _ in range(MAX_STARTS):
        start = _START.search(text, at)
        if start is None:
            return
        try:
            value, at = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        yield at - start.start(), value


def _literal(text: str) -> Any:
    start, end = text.find("["), text.rfind("]")
    if not -1 < start < end <= start + MAX_LITERAL_CHARACTERS:
        return None
    try:
        return ast.literal_eval(text[start : end + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
