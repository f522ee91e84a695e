# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""What belongs to a user rather than to a graph: credits and API keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from perdure.calls import path
from perdure.types import ApiKey, Balance, HistoryItem, NewApiKey

if TYPE_CHECKING:
    from perdure._sync.client import Client


class Credits:
    """Your credits. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self) -> Balance:
        """Say how you stand."""
        return cast(Balance, self._client.call("GET", path("user", "credits")))

    def history(
        self, *, kind: str | None = None, execution_id: str | None = None, limit: int | None = None
    ) -> Iterator[HistoryItem]:
        """Give what your balance has changed for, newest first."""
        params = {"kind": kind, "execution_id": execution_id}
        for item in self._client.items(path("user", "credits", "history"), params=params, limit=limit):
            yield item


class Keys:
    """API keys of yours. Every method raises `ApiError` when the API refuses."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_at: str | None = None,
        addresses: Sequence[str] = (),
    ) -> NewApiKey:
        """Make an API key; its secret is in this answer only."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes), "addresses": list(addresses)}
        if expires_at is not None:
            body["expires_at"] = expires_at
        return cast(NewApiKey, self._client.call("POST", path("user", "api-keys"), body=body))

    def list(self, *, limit: int | None = None) -> Iterator[ApiKey]:
        """Give your API keys without their secrets, newest first."""
        for item in self._client.items(path("user", "api-keys"), limit=limit):
            yield item

    def revoke(self, key_id: str) -> None:
        """Revoke an API key, for ever."""
        self._client.call("DELETE", path("user", "api-keys", key_id))
