"""How things are written for people: values, tables, times. What strangers wrote cannot steer the terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

ELLIPSIS = "…"
_KEPT = "\n\t"
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What makes a text read from the other side, so that it seems to say something else."""


def harmless(text: str) -> str:
    """Return a text with every control character made visible, but for line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else "\ufffd" for character in text)


def one_line(text: str, width: int) -> str:
    """Return the beginning of a text, on one line of at most so many characters."""
    flat = " ".join(harmless(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + ELLIPSIS


def shown(value: Any) -> str:
    """Return a value as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def in_columns(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Give rows as lines whose columns stand below each other."""
    texts = [["" if cell is None else one_line(str(cell), 200) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def outputs_of(outputs: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Give one line, or more for a longer text, about every value that came out."""
    for name, values in outputs.items():
        for value in values:
            yield f"{name}: {shown(value)}"


def rest_of(pairs: Mapping[str, Any]) -> Iterator[str]:
    """Give a line about every value that says something, whole."""
    said = {name: value for name, value in pairs.items() if value not in (None, "", [], {})}
    width = max(map(len, said), default=0)
    for name, value in said.items():
        yield f"  {name:{width}}  {' '.join(shown(value).split())}"


def _is_harmless(character: str) -> bool:
    if character in _KEPT:
        return True
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and character not in _TURNING
