"""Names and descriptions: what a person reads, cleaned of HTML."""

from __future__ import annotations

from typing import Annotated

import nh3
from pydantic import AfterValidator

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 1_000


def clean(text: str) -> str:
    """Return a text without tags, scripts and surrounding space. No `<` or `>` stays in it."""
    # Ampersands are put back, for people to read; angle brackets stay escaped.
    return nh3.clean(text, tags=set()).replace("&amp;", "&").strip()


def _name(text: str) -> str:
    name = clean(text)
    if not 1 <= len(name) <= NAME_LENGTH:
        raise ValueError(f"must have 1 to {NAME_LENGTH} characters, HTML not counted")
    return name


def _description(text: str) -> str:
    description = clean(text)
    if len(description) > DESCRIPTION_LENGTH:
        raise ValueError(f"must not have more than {DESCRIPTION_LENGTH} characters, HTML not counted")
    return description


Name = Annotated[str, AfterValidator(_name)]
Description = Annotated[str, AfterValidator(_description)]
