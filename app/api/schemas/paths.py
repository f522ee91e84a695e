"""Ids and versions in paths and queries. What is no id at all is not found, like an id that nothing has."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import BeforeValidator

from app.errors import InvalidRequest, NotFound
from app.models.page import MAX_NUMBER


def parse_id(text: str) -> uuid.UUID:
    """Return the id that a text names.

    Raises:
        NotFound: It is no id, so there is nothing of that id.
    """
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise NotFound from error


def parse_number(text: str) -> int:
    """Return the number that a text names; one that is beyond all numbers in use counts as the largest.

    Raises:
        InvalidRequest: It is no number.
    """
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequest(f"{text[:40]!r} is not a number")
    return MAX_NUMBER if len(text) > len(str(MAX_NUMBER)) else min(int(text), MAX_NUMBER)


Id = Annotated[uuid.UUID, BeforeValidator(parse_id)]
Number = Annotated[int, BeforeValidator(parse_number)]
