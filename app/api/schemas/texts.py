"""Names and descriptions: what a person reads, cleaned of HTML and of what cannot be seen."""

from __future__ import annotations

from typing import Annotated

import nh3
from pydantic import AfterValidator

from app.visible import is_blank, keep_visible

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 1_000


def clean(text: str, *, keeps_lines: bool = False) -> str:
    """Return a text without tags, scripts, surrounding space and what cannot be seen. No `<` or `>` stays in it."""
    plain = nh3.clean(keep_visible(text, keeps_lines=keeps_lines), tags=set())
    # Ampersands and spaces are put back, for people to read; angle brackets stay escaped.
    plain = plain.replace("&nbsp;", "\u00a0").replace("&amp;", "&")
    # What was written as an entity is a letter only now.
    return keep_visible(plain, keeps_lines=keeps_lines).strip()


def _name(text: str) -> str:
    name = clean(text)
    if is_blank(name) or len(name) > NAME_LENGTH:
        raise ValueError(f"must have 1 to {NAME_LENGTH} characters, HTML not counted")
    return name


def _description(text: str) -> str:
    description = clean(text, keeps_lines=True)
    if len(description) > DESCRIPTION_LENGTH:
        raise ValueError(f"must not have more than {DESCRIPTION_LENGTH} characters, HTML not counted")
    return description


Name = Annotated[str, AfterValidator(_name)]
Description = Annotated[str, AfterValidator(_description)]
