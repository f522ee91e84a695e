r"""What a JSON body may be: bounds on size, depth and keys, and nothing that two parsers would read differently.

Duplicate keys, NaN and infinities, `\u0000` and lone surrogates are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from app.errors import InvalidRequest, PayloadTooLarge

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 50
MAX_KEYS = 100_000
MAX_CONTAINERS = 500_000
"""Lists and objects. Millions of empty ones fit into a body, and nothing else is done while they are read."""
MAX_DIGITS = 1_000
LISTS_WITH_LIMITS = ("nodes", "links")
"""The fields of the entries of these lists are not counted as keys: how many entries there may be is limited itself."""

DRAINED_BYTES = 3 * MAX_BYTES
"""So much of a body that is too large is still read, since a client that is cut off while sending sees no answer."""

# Cheap signs in the text that a string may hold what is refused; only then strings are looked at.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# Also one that does not end, so that whatever stands in it is looked at once.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_REFUSED_IN_STRINGS = re.compile("[\x00\ud800-\udfff]")


async def read_bounded(stream: AsyncIterator[bytes], declared_bytes: int | None) -> bytes:
    """Read a body of no more than `MAX_BYTES`, whatever length it declares.

    Raises:
        PayloadTooLarge: It is larger.
    """
    if declared_bytes is not None and declared_bytes > DRAINED_BYTES:
        raise PayloadTooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size <= MAX_BYTES:
            chunks.append(chunk)
        elif size > DRAINED_BYTES:
            break
    if size > MAX_BYTES:
        raise PayloadTooLarge
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        InvalidRequest: It is no JSON, or JSON that is not taken.
    """
    _check_containers(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_read_object,
            parse_constant=_refuse_constant,
            parse_float=_read_float,
            parse_int=_read_int,
        )
    except RecursionError as error:
        raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH}") from error
    except ValueError as error:
        raise InvalidRequest("The body is not valid JSON") from error
    _check(value, is_suspicious=_SUSPICIOUS.search(body) is not None)
    return value


def _check_containers(body: bytes) -> None:
    # Most bodies have few brackets, in their texts or outside, and are not looked at twice.
    if _count_brackets(body) > MAX_CONTAINERS and _count_brackets(_STRING.sub(b"", body)) > MAX_CONTAINERS:
        raise InvalidRequest(f"The body has more than {MAX_CONTAINERS} lists and objects")


def _count_brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidRequest("The body has an object with a duplicate key")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"The body holds {name}, which is not JSON")


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRequest("The body holds a number that is too large")
    return value


def _read_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidRequest(f"The body holds a number of more than {MAX_DIGITS} digits")
    return int(text)


def _check(value: Any, *, is_suspicious: bool) -> None:
    keys = -_uncounted(value)
    level = [value]
    depth = 0
    while level:
        containers = [item for item in level if isinstance(item, dict | list)]
        if is_suspicious:
            _check_strings(level)
        depth += bool(containers)
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH}")
        level = []
        for container in containers:
            if isinstance(container, list):
                level += container
                continue
            keys += len(container)
            level += container.values()
            if is_suspicious:
                _check_strings(container)
    if keys > MAX_KEYS:
        raise InvalidRequest(f"The body has more than {MAX_KEYS} keys")


def _check_strings(items: Any) -> None:
    for item in items:
        if isinstance(item, str) and _REFUSED_IN_STRINGS.search(item):
            raise InvalidRequest("The body holds a NUL or half a surrogate pair")


def _uncounted(value: Any) -> int:
    if not isinstance(value, dict):
        return 0
    lists = [value[name] for name in LISTS_WITH_LIMITS if isinstance(value.get(name), list)]
    return sum(len(entry) for entries in lists for entry in entries if isinstance(entry, dict))
