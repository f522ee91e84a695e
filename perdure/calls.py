"""What a call is, what its answer says, and when it is made once more. Knows no connection."""

from __future__ import annotations

import os
import random
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import httpx2 as httpx

from perdure.errors import PASSING, UNREACHABLE, UNREADABLE, ApiError

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "PERDURE_API_URL"
KEY_VARIABLE = "PERDURE_API_KEY"

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
_UNDER_WAY = 409


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API, the same at every attempt."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    """What is None is left out."""
    body: Any = None
    """JSON; None for no body."""
    key: str | None = None
    """The `Idempotency-Key`; one is made for a call that may change something."""
    extra_seconds: float = 0.0
    """How long the server itself may take on purpose."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def prepared(self) -> Call:
        """Return the call with a key of its own, so that a second attempt does nothing twice."""
        if self.method == "GET" or self.key is not None:
            return self
        return replace(self, key=str(uuid.uuid4()))

    def request_arguments(self, timeout_seconds: float) -> dict[str, Any]:
        """Return what an HTTP client needs of it."""
        return {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.params.items() if value is not None},
            "json": self.body,
            "headers": {**self.headers, **({} if self.key is None else {"Idempotency-Key": self.key})},
            "timeout": httpx.Timeout(timeout_seconds, read=timeout_seconds + self.extra_seconds),
        }


@dataclass(frozen=True, slots=True)
class Target:
    """Where the API is, and who asks."""

    url: str
    key: str

    @classmethod
    def of(cls, url: str | None, key: str | None) -> Target:
        """Return the given one, or what the environment says.

        Raises:
            ValueError: It is no URL, or no key.
        """
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        key = (key if key is not None else os.environ.get(KEY_VARIABLE, "")).strip()
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL ({error})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"{url!r} is no URL of an API: it begins with http:// or https://")
        if not (key.isascii() and (key.isprintable() or not key)):
            raise ValueError("The API key holds what no key holds")
        return cls(url.rstrip("/"), key)

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """Which certificates count: without TLS none do, and all that a machine trusts need not be read."""
        return True if self.url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def headers(self) -> dict[str, str]:
        """What every call says."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def given(**named: Any) -> dict[str, Any]:
    """Return what is not left out."""
    return {name: value for name, value in named.items() if value is not None}


def path(*parts: str) -> str:
    """Return the path of parts; whatever stands in a part stays in it."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def read_answer(response: httpx.Response) -> Any:
    """Return what an answer holds; None when it has no body.

    Raises:
        ApiError: It is a refusal, or none of this API.
    """
    if response.is_success and not response.content:
        return None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.is_success and answer is not None:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise ApiError(UNREADABLE, "That is no answer of this API", status=response.status_code)
    details = error.get("details")
    raise ApiError(
        str(error.get("error_code", UNREADABLE)),
        str(error.get("message", "")),
        details=details if isinstance(details, dict) else None,
        status=response.status_code,
        request_id=error.get("request_id"),
    )


def unreachable(url: str, error: Exception) -> ApiError:
    """Return what a connection that failed comes to."""
    return ApiError(UNREACHABLE, f"{url} cannot be reached ({type(error).__name__})")


def pause_seconds(attempt: int, response: httpx.Response | None) -> float | None:
    """Return how long to wait before the next attempt, or None when the answer stands.

    Args:
        attempt: How many have been made.
        response: Of the last one; None when there was none.
    """
    if response is not None and response.status_code not in PASSING:
        # Of a repeat this may say that the first attempt, whose answer was lost, is still under way.
        is_first_under_way = response.status_code == _UNDER_WAY and attempt > 1
        if not is_first_under_way:
            return None
    longest: float = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    # Callers that were cut off together do not come back together.
    pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret is drawn
    return max(pause, _asked_seconds(response))


def _asked_seconds(response: httpx.Response | None) -> float:
    asked = "" if response is None else response.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isdecimal() else 0.0
