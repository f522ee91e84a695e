"""What ends the wait of a node execution is heard once, whenever it comes."""

from __future__ import annotations

from app.activities.contracts.messages import Release
from app.graph.scheduler import Firing
from app.workflows.holds import MAX_RELEASES, Holds
from app.workflows.steering import Steering


def holding(count: int = 1) -> Holds:
    """Return what holds the first node executions of node 0."""
    holds = Holds(Steering(is_ready=True), 100)
    for n in range(1, count + 1):
        holds.ask(Firing(0, n, {}), timeout_seconds=None, remind_seconds=None)
    return holds


def test_a_release_is_carried_out_once() -> None:
    holds = holding()
    holds.release(Release(0, 1))
    holds.release(Release(0, 1))
    assert holds.take_releases() == [Release(0, 1)]
    assert not holds.take_releases()


def test_a_release_that_comes_while_one_that_was_too_early_is_carried_out_counts() -> None:
    holds = holding()
    holds.release(Release(0, 1))
    assert holds.take_releases()
    holds.release(Release(0, 1, is_timeout=True))
    assert not holds.releases
    holds.keep(0, 1)
    assert holds.take_releases() == [Release(0, 1, is_timeout=True)]
    holds.keep(0, 1)
    assert not holds.releases


def test_a_release_that_comes_before_its_wait_is_known_counts() -> None:
    holds = Holds(Steering(is_ready=True), 100)
    holds.release(Release(0, 1))
    assert not holds.releases
    holds.ask(Firing(0, 1, {}), timeout_seconds=None, remind_seconds=None)
    assert holds.take_releases() == [Release(0, 1)]


def test_very_many_releases_are_carried_out_in_parts() -> None:
    holds = holding(MAX_RELEASES + 5)
    for n in range(1, MAX_RELEASES + 6):
        holds.release(Release(0, n))
    taken = [holds.take_releases(), holds.take_releases(), holds.take_releases()]
    assert [len(part) for part in taken] == [MAX_RELEASES, 5, 0]
    assert [release.n for part in taken for release in part] == list(range(1, MAX_RELEASES + 6))


async def test_what_is_held_is_held_by_the_next_run() -> None:
    holds = holding(3)
    again = Holds(Steering(is_ready=True), 100)
    again.release(Release(0, 2))
    again.load(holds.dump())
    assert again.dump() == holds.dump()
    assert again.take_releases() == [Release(0, 2)]
