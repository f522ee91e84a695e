"""Fits values to the types of pins, as generously as the graphs of other systems expect.

The rules of each type are in `shapes`; this file is the way to them and remembers what an annotation means.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.graph.conversion import NotJson, parse_json
from app.graph.shapes import Opaque, Shape, make_shape

_MOST_KNOWN = 4_096


class PinType:
    """An annotation, made ready to be asked about values."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.shape: Shape = make_shape(annotation)
        self.is_nullable = self.shape.accepts(None)
        self._lax = Opaque(annotation)

    @property
    def adapter(self) -> TypeAdapter[Any] | None:
        """Return pydantic's reader of the whole annotation, or None for a type that it does not know."""
        return self._lax.adapter

    def read(self, value: Any) -> Any:
        """Return what pydantic reads a value as.

        Raises:
            ValidationError: It does not take the value.
        """
        return value if self.adapter is None else self.adapter.validate_python(value)


# By identity: `int | str` and `str | int` are equal and hash alike, but convert to different members.
_KNOWN: dict[int, PinType] = {}


def pin_type(annotation: Any) -> PinType:
    """Return an annotation made ready; the same object for the same annotation."""
    known = _KNOWN.get(id(annotation))
    if known is None or known.annotation is not annotation:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(annotation)] = PinType(annotation)
    return known


def satisfies(value: Any, annotation: Any) -> bool:
    """Answer whether a value is of a type as it is. JSON's forms count: a list for a set, the value of an enum."""
    return pin_type(annotation).shape.accepts(value)


def is_nullable(annotation: Any) -> bool:
    """Answer whether null is of a type."""
    return pin_type(annotation).is_nullable


def coerce(value: Any, annotation: Any) -> Any:
    """Return a value fitted to a type. What cannot be fitted comes back as it is, and so does null."""
    return None if value is None else pin_type(annotation).shape.coerce(value)


def is_faithful(value: Any, annotation: Any) -> bool:
    """Answer whether a constant stands for a value of a type without guessing.

    It does when it is one, or when pydantic's lax mode reads it, or the list or object that its text holds, as the
    very value that `coerce` makes of it.
    """
    wanted = pin_type(annotation)
    if wanted.shape.accepts(value):
        return True
    if value is None:
        return False
    try:
        meant = wanted.read(_unwrapped(value, wanted))
        return _is_same(meant, wanted.read(wanted.shape.coerce(value)))
    except ValidationError:
        return False


def _unwrapped(value: Any, wanted: PinType) -> Any:
    """Return the list or object that a text holds, where the type does not read the text itself."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return parse_json(value)
    except NotJson:
        return value


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)
