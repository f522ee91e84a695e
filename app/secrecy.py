"""Keeps the secrets that some work uses out of the texts that it leaves behind: messages of failures, log lines.

What is noted counts for the task that noted it and for the tasks it starts. A net under the rule that nobody writes a
secret down: values that a block emits on purpose are left alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
SHORTEST = 4
"""Shorter texts stand in many words: to hide them would tell more than it hides."""
SHORTEST_CUT = 8
"""So much of a secret that the end of a text has cut off is hidden too."""
_TAIL = 512
_MOST = 1_000
_DEEPEST = 8
_SECRET_NAME = re.compile(
    r"auth(?!ors?(?:\b|_))|cookie|credential|api[-_]?key|password|secret|signature|token", re.IGNORECASE
)

_AFTER_SCHEME = re.compile(r"^(?:basic|bearer|token) +(.+)$", re.IGNORECASE)


class Secrets:
    """Texts that are not to be seen, in all the forms in which they travel."""

    def __init__(self) -> None:
        """Begin with none."""
        self._forms: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        """Answer whether there is anything to hide."""
        return bool(self._forms)

    def note(self, texts: Iterable[str]) -> None:
        """Hide these from now on."""
        for text in texts:
            if len(text) >= SHORTEST and len(self._forms) < _MOST:
                self._forms.update(dict.fromkeys(_forms_of(text)))
                self._pattern = None

    def scrub(self, text: str) -> str:
        """Return a text without them; also without the beginning of one that the end of the text has cut off."""
        if not self._forms:
            return text
        if self._pattern is None:
            # The longest first, so that nothing is left of one that begins with another.
            self._pattern = re.compile("|".join(map(re.escape, sorted(self._forms, key=len, reverse=True))))
        scrubbed = self._pattern.sub(HIDDEN, text)
        cut = max(_cut_off(scrubbed[-_TAIL:], secret) for secret in self._forms)
        return f"{scrubbed[:-cut]}{HIDDEN}" if cut else scrubbed


_current: ContextVar[Secrets | None] = ContextVar("secrets", default=None)


@contextmanager
def keeping_secrets() -> Iterator[Secrets]:
    """Collect the secrets that the work inside the block notes, and hide them in what it writes."""
    secrets = Secrets()
    token = _current.set(secrets)
    try:
        yield secrets
    finally:
        _current.reset(token)


def note_secrets(texts: Iterable[str]) -> None:
    """Have these hidden in what the work under way writes. Outside of any it does nothing."""
    secrets = _current.get()
    if secrets is not None:
        secrets.note(texts)


def scrub(text: str) -> str:
    """Return a text without the secrets of the work under way."""
    secrets = _current.get()
    return text if secrets is None else secrets.scrub(text)


def scrub_value(value: Any) -> Any:
    """Return a JSON value without the secrets of the work under way in its texts."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {name: scrub_value(inner) for name, inner in value.items()}
    return [scrub_value(inner) for inner in value] if isinstance(value, list | tuple) else value


def has_secrets() -> bool:
    """Answer whether the work under way has noted any."""
    return bool(_current.get())


def texts_by_secret_name(value: Any, *, depth: int = 0) -> Iterator[str]:
    """Return the texts in a JSON value that stand under a name that sounds secret."""
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str):
                if _SECRET_NAME.search(str(name)):
                    yield inner
                    # A scheme and what follows it, as in `Bearer …`.
                    yield from _AFTER_SCHEME.findall(inner)
            else:
                yield from texts_by_secret_name(inner, depth=depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_by_secret_name(inner, depth=depth + 1)


def _cut_off(tail: str, secret: str) -> int:
    """Return how many characters at the end of a text are the beginning of a secret."""
    most = min(len(secret) - 1, len(tail))
    return next((n for n in range(most, SHORTEST_CUT - 1, -1) if tail.endswith(secret[:n])), 0)


def _forms_of(text: str) -> list[str]:
    encoded = text.encode("utf-8", "surrogatepass")
    plain = base64.b64encode(encoded).decode()
    return [
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        plain,
        plain.rstrip("="),
        base64.urlsafe_b64encode(encoded).decode().rstrip("="),
        quote(encoded, safe=""),
        quote_plus(encoded),
    ]
