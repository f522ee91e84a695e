"""What a delivery says: its body, read as the webhook says and never as the sender's header does, and its events."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import Collection
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from app.api.json_body import parse_json
from app.api.webhooks.signatures import Proof, Scheme
from app.errors import InvalidRequest

THREAD_FROM_BYTES = 64 * 1024
"""Larger bodies are read beside the event loop."""
MOST_FIELDS = 1_000
MOST_EVENT_CHARACTERS = 100
ANY = "*"
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,255}")
_EVENT = re.compile(rf"[\x21-\x7e]{{1,{MOST_EVENT_CHARACTERS}}}")
_ID_IN_BODY = {Scheme.STRIPE: "id", Scheme.SLACK: "event_id"}
_PING = "ping"
_CHALLENGE = "url_verification"


class BodyType(StrEnum):
    """How a body is read."""

    JSON = "json"
    FORM = "form"
    """An object of texts."""
    TEXT = "text"


async def read_content(kind: BodyType, body: bytes) -> Any:
    """Return what a body says, as a JSON value.

    Raises:
        InvalidRequest: It is not of its type, or holds what no JSON body may.
    """
    if len(body) > THREAD_FROM_BYTES:
        return await asyncio.to_thread(_READERS[kind], body)
    return _READERS[kind](body)


def delivery_id_of(scheme: Scheme, proof: Proof, body: bytes, content: Any) -> str:
    """Return what a sender calls a delivery; where it does not say, what is the same in a repeat of it.

    A token proves nothing of the moment: without a name, two equal bodies are two deliveries.
    """
    if proof.delivery_id:
        return proof.delivery_id
    if scheme is Scheme.TOKEN:
        return f"unnamed:{uuid.uuid4()}"
    named = content.get(_ID_IN_BODY.get(scheme, "")) if isinstance(content, dict) else None
    if isinstance(named, str) and _PRINTABLE.fullmatch(named):
        return named
    return f"sha256:{hashlib.sha256(proof.prefix + body).hexdigest()}"


def events_of(scheme: Scheme, headers: Headers, content: Any) -> list[str]:
    """Return the names that what has happened goes by, the most general first; none where nothing is said."""
    said: dict[str, Any] = content if isinstance(content, dict) else {}
    names: list[Any]
    if scheme is Scheme.GITHUB:
        event, action = headers.get("x-github-event", ""), said.get("action")
        names = [event, f"{event}.{action}" if event and isinstance(action, str) else ""]
    elif scheme is Scheme.SLACK and isinstance(said.get("event"), dict):
        names = [said["event"].get("type")]
    else:
        names = [said.get("type")]
    return [name for name in names if isinstance(name, str) and _EVENT.fullmatch(name)]


def is_wanted(scheme: Scheme, wanted: Collection[str], events: Collection[str]) -> bool:
    """Answer whether a delivery is to start something.

    Args:
        scheme: Of its sender.
        wanted: Names of events, which may end with `*`; none for all.
        events: What it tells of.
    """
    if scheme is Scheme.GITHUB and _PING in events:
        # Sent once, when the webhook is made there: nothing has happened.
        return _PING in wanted
    return not wanted or any(_fits(event, pattern) for event in events for pattern in wanted)


def find_challenge(scheme: Scheme, content: Any) -> str | None:
    """Return what Slack wants to be given back to see that somebody is there, or None if that is not what it asks."""
    if scheme is not Scheme.SLACK or not isinstance(content, dict) or content.get("type") != _CHALLENGE:
        return None
    return str(content.get("challenge", ""))[:1_000]


def _fits(event: str, pattern: str) -> bool:
    return event.startswith(pattern[:-1]) if pattern.endswith(ANY) else event == pattern


def _read_form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise InvalidRequest("The body is no form") from error
    if len(dict(fields)) != len(fields):
        raise InvalidRequest("The body has a field twice")
    # What a form brings is held to the same rules.
    checked: dict[str, str] = parse_json(json.dumps(dict(fields)).encode())
    return checked


def _read_text(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is no text in UTF-8") from error
    if "\0" in text:
        raise InvalidRequest("The body holds a NUL")
    return text


_READERS = {BodyType.JSON: parse_json, BodyType.FORM: _read_form, BodyType.TEXT: _read_text}
