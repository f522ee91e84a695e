"""What an import has to know of the installation that it is made into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.autogpt.reading import MakeId
from app.graph.validation import Signatures


@dataclass(frozen=True, slots=True)
class Rules:
    """The blocks, and the bounds of texts."""

    signatures: Signatures
    make_id: MakeId
    """Makes the ids of graphs and of nodes without one."""
    clean: Callable[[str], str]
    """Returns a text without HTML."""
    max_name: int
    """Characters of a name."""
    max_description: int
    """Characters of a description."""
    is_known_model: Callable[[str], bool]
    """Answers whether some provider serves a language model of this name."""
