"""Rate limits: windows that move, counted per user and per address, shared through Redis while that is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fakeredis import TcpFakeServer
from limits.aio.storage.redis.bridge import RedisBridge
from redis import Redis
from structlog.testing import capture_logs

from app.api.edge.rate_limits import RateLimits, RateRules
from app.errors import RateLimited


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    url = f"redis://{host!s}:{port}?protocol=2"
    with Redis.from_url(url) as redis:
        # It hangs up on whoever names a script that it does not know, in place of saying so.
        for script in (RedisBridge.SCRIPT_MOVING_WINDOW, RedisBridge.SCRIPT_ACQUIRE_MOVING_WINDOW):
            redis.script_load(script)
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


async def is_refused(limits: RateLimits, user_id: str = "a", *, is_start: bool = False) -> bool:
    try:
        await limits.take_user(user_id, is_start=is_start)
    except RateLimited:
        return True
    return False


async def test_a_window_moves_request_by_request(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_user="3/minute"), clock=clock)
    for _ in range(3):
        assert not await is_refused(limits)
        clock.now += 10

    assert await is_refused(limits)
    # The first request was made 60 s ago now, the second one 50 s ago.
    clock.now += 30
    assert not await is_refused(limits)
    assert await is_refused(limits)


async def test_a_refusal_says_when_there_is_room_again(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_user="1/minute"), clock=clock)
    standing = await limits.take_user("a", is_start=False)
    assert standing is not None
    assert standing.as_headers() == {
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(clock.now) + 60),
    }

    clock.now += 15
    with pytest.raises(RateLimited) as refused:
        await limits.take_user("a", is_start=False)

    assert refused.value.headers["Retry-After"] == "45"
    clock.now += 45
    assert not await is_refused(limits)


async def test_users_and_starts_are_counted_apart(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_user="5/minute", starts_per_user="2/minute"), clock=clock)
    assert [await is_refused(limits, is_start=True) for _ in range(3)] == [False, False, True]
    assert not await is_refused(limits)
    assert not await is_refused(limits, "b", is_start=True)


async def test_neighbours_in_a_network_of_ipv6_are_one(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_user="1/minute"), clock=clock)
    await limits.take_stranger("2001:db8::1")

    with pytest.raises(RateLimited):
        await limits.take_stranger("2001:db8::ffff:2")
    await limits.take_stranger("2001:db8:0:1::1")
    await limits.take_stranger("192.0.2.1")


async def test_what_counts_no_more_is_forgotten(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_address="9/minute"), clock=clock)
    for number in range(500):
        await limits.take_address(f"192.0.2.{number % 250}")
        clock.now += 1

    windows = limits._own.storage._windows  # type: ignore[attr-defined]  # memory is what this is about
    assert len(windows) <= 60


async def test_two_processes_share_a_limit_through_redis(redis_url: str) -> None:
    rules = RateRules(per_user="3/minute", redis_url=redis_url)
    one, other = RateLimits(rules), RateLimits(rules)

    assert [await is_refused(limits) for limits in (one, other, one, other, one)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert not await is_refused(other, "b")
    await one.aclose()
    await other.aclose()


async def test_without_redis_each_process_counts_and_says_so_once_a_minute(clock: Clock) -> None:
    limits = RateLimits(RateRules(per_user="20/minute", redis_url="redis://127.0.0.1:1"), clock=clock)
    with capture_logs() as lines:
        for _ in range(20):
            assert not await is_refused(limits)
            clock.now += 1
        assert await is_refused(limits)

    assert [line["event"] for line in lines] == ["rate_limits_not_shared"]
    await limits.aclose()


async def test_when_redis_is_back_it_is_asked_again(redis_url: str, clock: Clock) -> None:
    rules = RateRules(per_user="2/minute", redis_url=redis_url)
    limits = RateLimits(rules, clock=clock)
    limits._redis_rests_until = clock.now + 5  # as after an answer that did not come
    assert [await is_refused(limits) for _ in range(3)] == [False, False, True]

    clock.now += 5

    assert not await is_refused(limits)
    await limits.aclose()
