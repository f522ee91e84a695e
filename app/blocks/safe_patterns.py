"""Regular expressions that anybody may write: the syntax is that of `re`, the search can be stopped.

`regex` knows a time limit, which `re` does not. It also knows more syntax, of which some is a way to exhaust memory;
so a pattern has to be one that `re` takes, and what `regex` alone would read into it is escaped.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import regex

from app.errors import BlockInputInvalid, BlockLimitExceeded

MAX_SEARCH_SECONDS = 2.0
MAX_PATTERN_CHARACTERS = 2_000
MAX_EXPANDED_CHARACTERS = 20_000
"""The length of a pattern when `a{3}` is written `aaa`, which is what compiling it does."""
MAX_KEPT_CAPTURES = 1_000_000
"""Every turn of a repeated group is kept during a search, at about 100 bytes."""

_TOKEN = re.compile(
    r"""
    (?P<escape>\\.)
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<open>\((?:\?P?<(?![=!])|\?P[=>]|\?)?)
    | (?P<close>\))
    | (?P<count>\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\})
    | (?P<star>[*+])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


_COMMENT = re.compile(r"\(\?(?:#|[a-zA-Z]*x)")
"""Comments could hide from `_TOKEN` where a group ends."""


@dataclass(slots=True)
class _Group:
    size: int = 0
    captures: int = 0
    last_size: int = 0
    last_captures: int = 0

    def add(self, size: int, captures: int = 0) -> None:
        self.size += size
        self.captures += captures
        self.last_size, self.last_captures = size, captures


@dataclass(slots=True)
class _Survey:
    """Goes over a pattern once: how large it is, how many groups are repeated, and how `regex` must read it."""

    open: list[_Group] = field(default_factory=lambda: [_Group()])
    opened_captures: list[int] = field(default_factory=list)
    repeated_captures: int = 0

    def translate(self, pattern: str) -> Iterator[str]:
        for token in _TOKEN.finditer(pattern):
            kind, text = token.lastgroup, token[0]
            if token["count"] is not None:
                kind = "count" if token["least"] or token["most"] else "other"
            if kind == "set":
                # `regex` reads classes such as [:alpha:] inside a set.
                text = text[0] + re.sub(r"\\.|\[", _escaped_bracket, text[1:], flags=re.DOTALL)
            elif kind == "other" and text.startswith("{"):
                text = "\\" + text
            self._weigh(kind, text, token)
            yield text

    def _weigh(self, kind: str | None, text: str, token: re.Match[str]) -> None:
        if kind == "open":
            self.opened_captures.append(1 if text in ("(", "(?P<") else 0)
            self.open.append(_Group())
        elif kind == "close" and self.opened_captures:
            inner = self.open.pop()
            self.open[-1].add(inner.size + 1, inner.captures + self.opened_captures.pop())
        elif kind == "star":
            self._repeat(1)
        elif kind == "count":
            self._repeat(max(int(token["least"] or 0), int(token["most"] or 0), 1))
        else:
            self.open[-1].add(1)

    def _repeat(self, times: int) -> None:
        group = self.open[-1]
        self.repeated_captures += group.last_captures
        group.captures -= group.last_captures
        group.last_captures = 0
        group.size += group.last_size * (times - 1)
        if group.size > MAX_EXPANDED_CHARACTERS:
            raise BlockLimitExceeded("The regular expression repeats too much")
        group.last_size *= times


def _escaped_bracket(found: re.Match[str]) -> str:
    return "\\[" if found[0] == "[" else found[0]


class SafePattern:
    """A compiled regular expression whose searches end in time."""

    def __init__(self, pattern: str, *, is_case_sensitive: bool, does_dot_match_newline: bool) -> None:
        flags = 0 if is_case_sensitive else re.IGNORECASE
        flags |= re.DOTALL if does_dot_match_newline else 0
        _require_syntax(pattern, flags)
        survey = _Survey()
        translated = "".join(survey.translate(pattern))
        self._repeated_captures = survey.repeated_captures
        try:
            self._compiled = regex.compile(translated, int(flags) | regex.VERSION0)
        except regex.error:
            raise BlockInputInvalid("The regular expression cannot be used") from None
        except (RecursionError, MemoryError):
            raise BlockLimitExceeded("The regular expression is nested too deep") from None

    @property
    def groups(self) -> int:
        """Return the number of groups."""
        return self._compiled.groups

    def search(self, text: str) -> bool:
        """Answer whether the pattern matches anywhere.

        Raises:
            BlockLimitExceeded: The search takes too long or too much memory.
        """
        return next(self.finditer(text, group=0), None) is not None

    def finditer(self, text: str, *, group: int) -> Iterator[str]:
        """Yield what a group matches, for each match in which it takes part.

        Raises:
            BlockLimitExceeded: The search takes too long or too much memory.
        """
        for match in self._finditer(text):
            found = match.group(group)
            if found is not None:
                yield found

    def replace(self, text: str, replacement: str, *, limit: int, max_characters: int) -> tuple[str, int]:
        r"""Return a text with matches replaced, and how many were.

        Args:
            text: Where to search.
            replacement: What comes in their place; `\1` and `\g<name>` are groups of the match.
            limit: How many matches are replaced at most; 0 for all.
            max_characters: How long the result may become.

        Raises:
            BlockInputInvalid: The replacement names a group that there is not.
            BlockLimitExceeded: It takes too long, too much memory, or the result is too long.
        """
        pieces, end, room, count = list[str](), 0, max_characters - len(text), 0
        references = replacement.count("\\")
        for match in islice(self._finditer(text), limit or None):
            longest = max(map(len, (match[0], *(group or "" for group in match.groups()))))
            room += len(match[0]) - len(replacement) - references * longest
            if room < 0:
                raise BlockLimitExceeded("The text would become too long")
            try:
                expanded = match.expand(replacement)
            except (regex.error, IndexError):
                raise BlockInputInvalid("The replacement cannot be used with this expression") from None
            room += len(replacement) + references * longest - len(expanded)
            pieces += (text[end : match.start()], expanded)
            end = match.end()
            count += 1
        return "".join((*pieces, text[end:])), count

    def _finditer(self, text: str) -> Iterator[regex.Match[str]]:
        if self._repeated_captures * len(text) > MAX_KEPT_CAPTURES:
            raise BlockLimitExceeded(
                "The regular expression repeats groups, and the text is too long for that"
            )
        try:
            yield from self._compiled.finditer(text, timeout=MAX_SEARCH_SECONDS)
        except TimeoutError:
            raise BlockLimitExceeded(
                f"The regular expression takes more than {MAX_SEARCH_SECONDS:g} seconds on this text"
            ) from None
        except MemoryError:
            raise BlockLimitExceeded("The regular expression takes too much memory on this text") from None


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, *, is_case_sensitive: bool, does_dot_match_newline: bool) -> SafePattern:
    """Return a pattern, compiled once.

    Raises:
        BlockInputInvalid: It is not well formed.
        BlockLimitExceeded: It is too large.
    """
    return SafePattern(
        pattern, is_case_sensitive=is_case_sensitive, does_dot_match_newline=does_dot_match_newline
    )


def _require_syntax(pattern: str, flags: int) -> None:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise BlockLimitExceeded(f"A regular expression has at most {MAX_PATTERN_CHARACTERS:,} characters")
    if _COMMENT.search(pattern):
        raise BlockInputInvalid("A regular expression cannot have comments here")
    try:
        with warnings.catch_warnings():
            # Python announces changes of syntax; whoever wrote the pattern would not see it.
            warnings.simplefilter("ignore")
            re.compile(pattern, flags)
    except (re.error, OverflowError):
        raise BlockInputInvalid("The regular expression is not well formed") from None
    except RecursionError:
        raise BlockLimitExceeded("The regular expression is nested too deep") from None
