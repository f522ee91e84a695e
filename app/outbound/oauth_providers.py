"""The services that users log in at with OAuth2: what the operator says of each. Nobody is asked anything here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_REQUIRED = ("authorize_url", "token_url", "client_id")
_FIELDS = {*_REQUIRED, "client_secret", "scopes", "redirect_url"}


@dataclass(frozen=True, slots=True)
class OAuthProvider:
    """One service."""

    name: str
    authorize_url: str
    """Where people are sent to log in."""
    token_url: str
    """Where codes and refresh tokens are exchanged."""
    client_id: str
    client_secret: str = field(default="", repr=False)
    """Empty for a public client."""
    scopes: tuple[str, ...] = ()
    """What is asked for besides what a login asks for itself."""
    redirect_url: str = ""
    """Where people come back to; left to the provider when empty."""


def parse_oauth_providers(text: str) -> dict[str, OAuthProvider]:
    """Read providers from JSON, `{name: {authorize_url, token_url, client_id, …}}`.

    Raises:
        ValueError: It is not of that form; the message repeats no value.
    """
    try:
        given = json.loads(text)
    except ValueError:
        raise ValueError("is not valid JSON") from None
    if not isinstance(given, Mapping):
        raise ValueError("must be an object of providers by name")  # noqa: TRY004 - pydantic takes it
    return {name: _parse(name, entry) for name, entry in given.items()}


def _parse(name: str, entry: Any) -> OAuthProvider:
    if not _NAME.fullmatch(name):
        raise ValueError("has a provider whose name is not of a-z, 0-9, `_`, `.` and `-`")
    if not isinstance(entry, Mapping):
        raise ValueError(f"{name}: must be an object")  # noqa: TRY004 - as above
    unknown = set(entry) - _FIELDS
    if unknown:
        raise ValueError(f"{name}: has no field {min(unknown)}")
    for field_name in _REQUIRED:
        if not isinstance(entry.get(field_name), str) or not entry[field_name]:
            raise ValueError(f"{name}: {field_name} is missing")
    for field_name in ("authorize_url", "token_url", "redirect_url"):
        if field_name in entry and not _is_url(entry[field_name]):
            raise ValueError(f"{name}: {field_name} must be an http(s) URL")
    scopes = entry.get("scopes", [])
    if not isinstance(scopes, list) or not all(isinstance(scope, str) and scope for scope in scopes):
        raise ValueError(f"{name}: scopes must be a list of texts")
    if not isinstance(entry.get("client_secret", ""), str):
        raise ValueError(f"{name}: client_secret must be a text")  # noqa: TRY004 - as above
    return OAuthProvider(**{**entry, "name": name, "scopes": tuple(scopes)})


def _is_url(value: Any) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
