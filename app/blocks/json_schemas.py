"""JSON schemas that anybody may write: which ones are taken, and whether a value fits one, in bounded time.

A schema is of draft 2020-12 whatever it says of itself. Its references lead to itself and in no circle, since a few
lines of them can otherwise ask for more steps than anybody waits for; nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from app.errors import BlockInputInvalid, BlockLimitExceeded

MAX_PARTS = 5_000
"""Parts of a schema, counted again wherever a reference leads to them."""
MAX_WORK = 200_000_000
"""Parts of the schema times bytes of the value: about a second."""
_ELSEWHERE = ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef")
_PROBLEM_CHARACTERS = 300


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a schema can be used.

    Raises:
        BlockInputInvalid: It is no JSON schema, or one that leads elsewhere or in circles.
        BlockLimitExceeded: It is too large.
    """
    _Survey(schema).count(schema, ())
    _validator(schema)


def problem_with(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a value by a schema that was checked before, or None.

    Raises:
        BlockLimitExceeded: The value is too large to be checked by this schema.
    """
    parts = _Survey(schema).count(schema, ())
    if parts * len(json.dumps(value)) > MAX_WORK:
        raise BlockLimitExceeded("The value is too large to be checked by the schema")
    try:
        _validator(schema).validate(value)
    except ValidationError as error:
        where = "".join(f".{part}" for part in error.instance_path)
        # The message quotes the value, which is the caller's own, but may be long.
        return (
            f"{where[1:]}: {error.message}"[:_PROBLEM_CHARACTERS]
            if where
            else error.message[:_PROBLEM_CHARACTERS]
        )
    return None


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    try:
        return Draft202012Validator(dict(schema), retriever=_refuse, pattern_options=RegexOptions())
    except ValidationError as error:
        raise BlockInputInvalid(f"The schema is not valid: {error.message[:_PROBLEM_CHARACTERS]}") from None
    except ValueError:
        raise BlockLimitExceeded("The schema is nested too deep") from None


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"{address} is not part of the schema")


class _Survey:
    """Goes over a schema once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._sizes: dict[str, int] = {}

    def count(self, part: Any, through: tuple[str, ...]) -> int:
        """Return how many parts there are below and including this one.

        Args:
            part: Where to begin.
            through: The references that led here.
        """
        if isinstance(part, list):
            return self._bounded(1 + sum(self.count(item, through) for item in part))
        if not isinstance(part, dict):
            return 1
        size = 1
        for key, value in part.items():
            if key == "$ref" and isinstance(value, str):
                size += self._follow(value, through)
            elif key in _ELSEWHERE and isinstance(value, str):
                raise BlockInputInvalid(f"The schema uses `{key}`, which is not taken")
            else:
                size += self.count(value, through)
        return self._bounded(size)

    def _follow(self, reference: str, through: tuple[str, ...]) -> int:
        if reference in through or reference == "#":
            raise BlockInputInvalid("The references of the schema lead in a circle")
        if reference not in self._sizes:
            self._sizes[reference] = self.count(self._find(reference), (*through, reference))
        return self._sizes[reference]

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise BlockInputInvalid("The schema refers to something outside of it")
        part: Any = self._schema
        for name in reference[2:].split("/"):
            part = part.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(part, dict) else None
        if part is None:
            raise BlockInputInvalid("The schema refers to a part that it does not have")
        return part

    def _bounded(self, size: int) -> int:
        if size > MAX_PARTS:
            raise BlockLimitExceeded(f"The schema has more than {MAX_PARTS:,} parts")
        return size
