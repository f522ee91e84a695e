"""What can be seen of a text that a person has written: marks that make it look like another one are taken out."""

from __future__ import annotations

import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, marks of direction, halves of pairs."""
_JOINERS = frozenset("\u200c\u200d")
"""Persian and Hindi are written with them, and emoji are put together; by themselves they show nothing."""
_BREAKS = frozenset("\n\t")
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters by what they are called, and nothing to look at."""


def keep_visible(text: str, *, keeps_lines: bool = False, keeps_joiners: bool = True) -> str:
    """Return a text without what cannot be seen. A line break or a tab is a space in what has one line.

    Args:
        text: As somebody has written it.
        keeps_lines: Whether it may have several lines.
        keeps_joiners: Whether letters may be joined or kept apart as some languages need it.
    """
    kept = (_JOINERS if keeps_joiners else frozenset()) | (_BREAKS if keeps_lines else frozenset())
    joined = text.replace("\r\n", "\n").replace("\r", "\n")
    if not keeps_lines:
        joined = joined.replace("\n", " ").replace("\t", " ")
    return "".join(
        letter
        for letter in joined
        if letter in kept or (letter not in _BLANK and unicodedata.category(letter) not in _INVISIBLE)
    )


def is_blank(text: str) -> bool:
    """Answer whether there is nothing to see in a text."""
    return all(unicodedata.category(letter)[0] in "CZM" for letter in text)
