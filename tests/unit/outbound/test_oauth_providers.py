"""What an operator says of login providers is read strictly, and never repeated when it is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.outbound.oauth_providers import parse_oauth_providers

GOOD = {
    "authorize_url": "https://acme.test/login",
    "token_url": "https://acme.test/token",
    "client_id": "us",
    "client_secret": "canary-secret",
    "scopes": ["read"],
}


def test_providers_are_read_by_name() -> None:
    found = parse_oauth_providers(json.dumps({"acme": GOOD}))["acme"]
    assert (found.name, found.token_url, found.scopes) == ("acme", "https://acme.test/token", ("read",))
    assert "canary-secret" not in repr(found)


@pytest.mark.parametrize(
    "given",
    [
        "canary-secret",
        '["canary-secret"]',
        {"acme": "canary-secret"},
        {"Bad Name": GOOD},
        {"acme": {**GOOD, "secret": "canary-secret"}},
        {"acme": {**GOOD, "token_url": "canary-secret"}},
        {"acme": {**GOOD, "token_url": "ftp://acme.test"}},
        {"acme": {**GOOD, "client_id": None}},
        {"acme": {**GOOD, "scopes": "canary-secret"}},
        {"acme": {**GOOD, "client_secret": ["canary-secret"]}},
    ],
)
def test_what_is_wrong_is_said_without_repeating_it(given: Any) -> None:
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse_oauth_providers(text)
    assert "canary-secret" not in str(refused.value)
