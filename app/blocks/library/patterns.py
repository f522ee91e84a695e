"""Blocks that search texts by regular expressions, written as Python's `re` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.blocks.safe_patterns import SafePattern, compile_pattern
from app.errors import BlockInputInvalid, BlockLimitExceeded

MAX_TEXT_CHARACTERS = 1_000_000
MAX_REPLACED_CHARACTERS = 10_000_000
MAX_MATCHES = 1_000
MAX_MATCH_CHARACTERS = 10_000


class MatchTextPatternBlock(PureBlock):
    """Send a value down one of two branches, by whether a regular expression matches anywhere in a text."""

    id = "3060088f-6ed9-4928-9ba7-9c92823a7ccd"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """Where to search, what for, and what each branch carries."""

        text: Any
        """Where to search; what is no text is searched as JSON."""
        match: str
        """A regular expression."""
        data: Any
        """What goes out; `text` if empty: null, 0, false, an empty text, list or object."""
        case_sensitive: bool = True
        """Whether upper and lower case differ."""
        dot_all: bool = True
        """Whether `.` matches the end of a line too."""

    class Output(BlockOutput):
        """One of the branches."""

        positive: Any
        """When it matches."""
        negative: Any
        """When it does not."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit on one of the branches.

        Raises:
            BlockInputInvalid: The expression is not well formed.
            BlockLimitExceeded: The search takes too long, or the text or the expression is too large.
        """
        text = _searched(given.text)
        if len(text) > MAX_TEXT_CHARACTERS:
            raise BlockLimitExceeded(f"`text` has more than {MAX_TEXT_CHARACTERS:,} characters")
        pattern = compile_pattern(
            given.match, is_case_sensitive=given.case_sensitive, does_dot_match_newline=given.dot_all
        )
        yield "positive" if pattern.search(text) else "negative", given.data or given.text


class ExtractTextInformationBlock(PureBlock):
    """Take from a text what matches a regular expression, or a group of it.

    The first 1,000,000 characters are searched, at most 1,000 matches are taken, and each is cut at 10,000
    characters.
    """

    id = "3146e4fe-2cdd-4f29-bd12-0c9d5bb4deb0"
    categories = (BlockCategory.TEXT,)
    emits_many = True

    class Input(BlockInput):
        """Where to search and what for."""

        text: Any
        """Where to search; what is no text is searched as JSON."""
        pattern: str
        """A regular expression. One that is not well formed matches nothing."""
        group: int = 0
        """Which group of the expression to take; 0 for the whole match."""
        case_sensitive: bool = True
        """Whether upper and lower case differ."""
        dot_all: bool = True
        """Whether `.` matches the end of a line too."""
        find_all: bool = False
        """Whether to take every match instead of the first."""

    class Output(BlockOutput):
        """The matches one by one, or the text; then the matches together, and how many."""

        positive: str
        """A match."""
        negative: str
        """The text when nothing matches."""
        matched_results: list[str]
        """The matches."""
        matched_count: int
        """How many."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit each match, or the text, then all matches and their number.

        Raises:
            BlockLimitExceeded: The search takes too long, or the expression is too large.
        """
        text = _searched(given.text)
        try:
            pattern = compile_pattern(
                given.pattern, is_case_sensitive=given.case_sensitive, does_dot_match_newline=given.dot_all
            )
        except BlockInputInvalid:
            matches = []
        else:
            matches = _matches(pattern, text, group=given.group, limit=MAX_MATCHES if given.find_all else 1)
        for match in matches:
            yield "positive", match
        if not matches:
            yield "negative", text
        yield "matched_results", matches
        yield "matched_count", len(matches)


class ReplaceTextPatternBlock(PureBlock):
    """Replace in a text what matches a regular expression."""

    id = "fc47ce9d-f7c8-4c12-b9e4-24b0bedd2a19"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """Where to search, what for, and what to put there."""

        text: str
        """Where to search."""
        pattern: str
        """A regular expression."""
        replacement: str = ""
        r"""What comes in the place of a match; `\1` and `\g<name>` are groups of the match."""
        case_sensitive: bool = True
        """Whether upper and lower case differ."""
        dot_all: bool = True
        """Whether `.` matches the end of a line too."""
        limit: int = 0
        """How many matches are replaced at most; 0 for all."""

    class Output(BlockOutput):
        """The text."""

        output: str
        """The text with the matches replaced."""
        count: int
        """How many matches were replaced."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text and the number.

        Raises:
            BlockInputInvalid: The expression or the replacement cannot be used.
            BlockLimitExceeded: The search takes too long, or a text or the expression is too large.
        """
        if len(given.text) > MAX_TEXT_CHARACTERS:
            raise BlockLimitExceeded(f"`text` has more than {MAX_TEXT_CHARACTERS:,} characters")
        pattern = compile_pattern(
            given.pattern, is_case_sensitive=given.case_sensitive, does_dot_match_newline=given.dot_all
        )
        output, count = pattern.replace(
            given.text, given.replacement, limit=max(given.limit, 0), max_characters=MAX_REPLACED_CHARACTERS
        )
        yield "output", output
        yield "count", count


def _searched(text: Any) -> str:
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def _matches(pattern: SafePattern, text: str, *, group: int, limit: int) -> list[str]:
    if not 0 <= group <= pattern.groups:
        return []
    found = pattern.finditer(text[:MAX_TEXT_CHARACTERS], group=group)
    return [match[:MAX_MATCH_CHARACTERS] for match in islice(found, limit)]
