"""How many requests a user, or an address that no user speaks from, may make: moving windows, shared through Redis.

When Redis is away, each process counts for itself. The outer bound on an address protects the process, so it is counted
in the process alone.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from app.api.edge.rate_windows import ProcessWindows
from app.errors import RateLimited
from app.proxies import group_of

OFF = "off"
REDIS_TIMEOUT_SECONDS = 0.5
REST_SECONDS = 5.0
"""How long Redis is left alone after it did not answer."""
SAID_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RateRules:
    """How many requests are allowed, each as `number/period` or `off`."""

    per_user: str = OFF
    """Also per address of requests without a user."""
    starts_per_user: str = OFF
    """Of calls that start executions."""
    per_address: str = OFF
    """Of all users who call from it together."""
    redis_url: str | None = field(default=None, repr=False)
    """Where processes count together."""


class Standing(NamedTuple):
    """How a caller stands."""

    limit: int
    remaining: int
    resets_at: int
    """When the oldest request that counts is forgotten, in seconds since the epoch."""

    def as_headers(self) -> dict[str, str]:
        """Return what an answer says of it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.resets_at),
        }


def parse_limit(text: str) -> RateLimitItem | None:
    """Read a limit; None for none.

    Raises:
        ValueError: It has another form.
    """
    return None if text.strip().lower() == OFF else parse(text)


class RateLimits:
    """Counts requests."""

    def __init__(self, rules: RateRules, *, clock: Callable[[], float] = time.time) -> None:
        """Take the rules. Nothing is connected yet.

        Args:
            rules: How many requests are allowed.
            clock: Returns seconds since the epoch; what Redis counts has its own.

        Raises:
            ValueError: A rule has another form.
        """
        self._per_user = parse_limit(rules.per_user)
        self._starts_per_user = parse_limit(rules.starts_per_user)
        self._per_address = parse_limit(rules.per_address)
        self._clock = clock
        self._own = MovingWindowRateLimiter(ProcessWindows(clock=clock))
        self._redis = _connect(rules.redis_url)
        self._shared = MovingWindowRateLimiter(self._redis) if self._redis else None
        self._away = _failures_of(self._redis)
        self._redis_rests_until = self._said_at = float("-inf")

    async def take_address(self, address: str | None) -> None:
        """Count a request against the outer bound of its address.

        Raises:
            RateLimited: There were too many.
        """
        if self._per_address is not None:
            await self._take(self._own, self._per_address, "address", group_of(address))

    async def take_stranger(self, address: str | None) -> Standing | None:
        """Count a request that no user has made.

        Raises:
            RateLimited: There were too many from its address.
        """
        if self._per_user is None:
            return None
        return await self._take_shared(self._per_user, "stranger", group_of(address))

    async def take_user(self, user_id: str, *, is_start: bool) -> Standing | None:
        """Count a request of a user; return the standing that ends first, if any is kept.

        Args:
            user_id: Whose request.
            is_start: Whether it starts executions.

        Raises:
            RateLimited: There were too many.
        """
        standings = []
        if self._per_user is not None:
            standings.append(await self._take_shared(self._per_user, "user", user_id))
        if is_start and self._starts_per_user is not None:
            standings.append(await self._take_shared(self._starts_per_user, "starts", user_id))
        return min(standings, key=lambda standing: standing.remaining, default=None)

    async def take_start(self, user_id: str) -> None:
        """Count a start of a user whose request was counted before it was known to be one.

        Raises:
            RateLimited: There were too many.
        """
        if self._starts_per_user is not None:
            await self._take_shared(self._starts_per_user, "starts", user_id)

    async def take_webhook(self, owner: str, webhook_id: str) -> None:
        """Count something that a webhook starts, or may start: apart from the calls that its owner makes.

        One webhook may use half of what all of an owner's together may, so that a storm leaves room for the others.

        Args:
            owner: Whose webhook.
            webhook_id: Which.

        Raises:
            RateLimited: There were too many.
        """
        rule = self._starts_per_user
        if rule is not None:
            half = type(rule)(max(1, rule.amount // 2), rule.multiples)
            await self._take_shared(half, "webhook", webhook_id)
            await self._take_shared(rule, "webhooks", owner)

    async def take_call(self, graph_id: uuid.UUID, *, per_minute: int) -> None:
        """Count a call of a published graph that has a bound of its own.

        Raises:
            RateLimited: There were too many.
        """
        await self._take_shared(RateLimitItemPerMinute(per_minute), "publication", str(graph_id))

    async def aclose(self) -> None:
        """Close what is connected."""
        if self._redis is not None and isinstance(self._redis.bridge, RedispyBridge):
            await self._redis.bridge.get_connection().aclose()  # type: ignore[attr-defined]  # as redis-py has it

    async def _take_shared(self, item: RateLimitItem, *identifiers: str) -> Standing:
        now = self._clock()
        if self._shared is not None and now >= self._redis_rests_until:
            try:
                return await self._take(self._shared, item, *identifiers)
            except self._away as error:
                self._redis_rests_until = now + REST_SECONDS
                if now - self._said_at >= SAID_EVERY_SECONDS:
                    self._said_at = now
                    log.warning("rate_limits_not_shared", reason=type(error).__name__)
        return await self._take(self._own, item, *identifiers)

    async def _take(
        self, limiter: MovingWindowRateLimiter, item: RateLimitItem, *identifiers: str
    ) -> Standing:
        is_taken = await limiter.hit(item, *identifiers)
        resets_at, remaining = await limiter.get_window_stats(item, *identifiers)
        standing = Standing(item.amount, remaining if is_taken else 0, math.ceil(resets_at))
        if not is_taken:
            raise RateLimited(
                retry_after_seconds=max(1, math.ceil(resets_at - self._clock())),
                headers=standing.as_headers(),
            )
        return standing


def _failures_of(redis: RedisStorage | None) -> tuple[type[Exception], ...]:
    """Return what is raised when Redis is away. Its library is loaded by whoever has a Redis alone."""
    if redis is None:
        return ()
    raised = redis.base_exceptions
    return (StorageError, OSError, *(raised if isinstance(raised, tuple) else (raised,)))


def _connect(url: str | None) -> RedisStorage | None:
    if url is None:
        return None
    return RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="perdure:rates",
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
