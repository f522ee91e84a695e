"""An object store in S3, or in any server that speaks its protocol. The only module that knows the client library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.objects import ObjectMissing, ObjectsAway

CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
RETRIES = 2
"""Within one call. Who waits out an outage is decided by the caller."""


class S3Objects:
    """Objects in a bucket, below a prefix."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is connected yet.

        Region, endpoint and keys come from the usual `AWS_*` variables, or from the machine's role.

        Args:
            url: `s3://bucket/prefix`.
        """
        self._store = S3Store.from_url(
            url,
            client_options={
                # Whether the connection is encrypted is said by the endpoint's own URL.
                "allow_http": True,
                "connect_timeout": f"{CONNECT_SECONDS}s",
                "timeout": f"{REQUEST_SECONDS}s",
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=REQUEST_SECONDS)},
        )

    async def put(self, name: str, body: bytes) -> None:
        """Keep a body."""
        with _named_errors():
            await self._store.put_async(name, body, use_multipart=False)

    async def get(self, name: str) -> bytes:
        """Return a body."""
        with _named_errors():
            try:
                found = await self._store.get_async(name)
                return (await found.bytes_async()).to_bytes()
            except FileNotFoundError as error:
                raise ObjectMissing from error

    async def delete(self, names: Sequence[str]) -> None:
        """Delete bodies."""
        with _named_errors():
            await self._store.delete_async(names)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        # Refused keys and a missing bucket count as well: the operator puts that right, and all goes on.
        raise ObjectsAway(f"The object store is away: {type(error).__name__}") from error
