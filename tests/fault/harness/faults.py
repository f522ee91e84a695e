"""What can go wrong, and the plan of what goes wrong when. The plan follows from the seed alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import psutil

from tests.fault.harness.system import APIS, LINKS, WORKERS, System

LATEST_SECONDS = 8.0
"""A fault that waits for a request which never comes happens then."""
SLOWNESS_SECONDS = 0.1
UNHEARD_SECONDS = 0.7


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong once and is put right after a while."""

    kind: str
    target: str
    lasting_seconds: float
    after_seconds: float = 0.0
    """When it happens, from the begin of the round."""
    after_requests: int | None = None
    """It happens when blocks have made that many requests in this round, if that is set."""

    def __str__(self) -> str:
        moment = (
            f"at {self.after_seconds:.1f} s"
            if self.after_requests is None
            else f"at request {self.after_requests}"
        )
        return f"{self.kind} {self.target} {moment} for {self.lasting_seconds:.1f} s"


Inflict = Callable[[System, Fault], Awaitable[None]]


async def kill_worker(system: System, fault: Fault) -> None:
    """Kill a worker; another takes its place later."""
    number = _number(fault)
    system.workers[number].kill()
    await asyncio.sleep(fault.lasting_seconds)
    system.restart_worker(number)


async def stop_worker(system: System, fault: Fault) -> None:
    """Ask a worker to stop; another takes its place later."""
    number = _number(fault)
    await system.workers[number].stop()
    await asyncio.sleep(fault.lasting_seconds)
    system.restart_worker(number)


async def freeze_worker(system: System, fault: Fault) -> None:
    """Freeze a worker; it goes on as if nothing had happened."""
    worker = system.workers[_number(fault)]
    worker.pause()
    await asyncio.sleep(fault.lasting_seconds)
    worker.resume()


async def kill_api(system: System, fault: Fault) -> None:
    """Kill an API; another takes its place later."""
    number = _number(fault)
    system.apis[number].kill()
    await asyncio.sleep(fault.lasting_seconds)
    system.restart_api(number)


async def kill_postgres(system: System, fault: Fault) -> None:
    """Kill Postgres; it comes back on its data."""
    await system.stack.postgres.kill()
    await asyncio.sleep(fault.lasting_seconds)
    await system.stack.postgres.start()


async def kill_session(system: System, _: Fault) -> None:
    """Kill one server process of Postgres: it breaks all connections off and recovers by itself."""
    pid = system.stack.postgres.pid
    assert pid is not None
    for process in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if "idle" in " ".join(process.cmdline()):
                process.kill()
                return


async def kill_temporal(system: System, fault: Fault) -> None:
    """Kill Temporal; it comes back on its data."""
    await system.stack.temporal.kill()
    await asyncio.sleep(fault.lasting_seconds)
    await system.stack.temporal.start()


async def freeze_temporal(system: System, fault: Fault) -> None:
    """Freeze Temporal: connections stay, nothing is answered."""
    pid = system.stack.temporal.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(fault.lasting_seconds)
    os.kill(pid, signal.SIGCONT)


async def lose_answers(system: System, fault: Fault) -> None:
    """Let a worker do and record its work, and die before Temporal hears of it."""
    link = system.links["worker-temporal"]
    await _until_requests(system, system.world.arrivals + 1, UNHEARD_SECONDS)
    link.stall()
    await asyncio.sleep(UNHEARD_SECONDS)
    system.workers[_number(fault)].kill()
    link.cut()
    link.flow()
    await asyncio.sleep(fault.lasting_seconds)
    system.restart_worker(_number(fault))


async def kill_everything(system: System, fault: Fault) -> None:
    """Kill all there is at once, as the machine's end would."""
    for program in [*system.workers, *system.apis]:
        program.kill()
    await asyncio.gather(system.stack.postgres.kill(), system.stack.temporal.kill())
    await asyncio.sleep(fault.lasting_seconds)
    await system.stack.start()
    for number in range(WORKERS):
        system.restart_worker(number)
    for number in range(APIS):
        system.restart_api(number)


async def cut_link(system: System, fault: Fault) -> None:
    """Reset all connections of a kind."""
    system.links[fault.target].cut()


async def stall_link(system: System, fault: Fault) -> None:
    """Let nothing through for a while; what was held back arrives then."""
    link = system.links[fault.target]
    link.stall()
    await asyncio.sleep(fault.lasting_seconds)
    link.flow()


async def slow_link(system: System, fault: Fault) -> None:
    """Hold each piece of data back for a moment."""
    link = system.links[fault.target]
    link.delay_seconds = SLOWNESS_SECONDS
    await asyncio.sleep(2 * fault.lasting_seconds)
    link.flow()


async def _until_requests(system: System, count: int, timeout_seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await system.world.until(count)


def _number(fault: Fault) -> int:
    return int(fault.target)


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    inflict: Inflict
    targets: Sequence[str]
    weight: float
    group: str
    """What it befalls, for `--only`."""
    also: frozenset[str] = frozenset()
    """What else it befalls, as `group target`: nothing is hit by two faults at once that undo each other."""

    def victims(self, target: str) -> list[str]:
        """Return all that it befalls, in the order in which it is taken."""
        return sorted({f"{self.group} {target}", *self.also})


_WORKERS = tuple(map(str, range(WORKERS)))
_APIS = tuple(map(str, range(APIS)))
_EVERYTHING = frozenset(
    {
        *(f"worker {number}" for number in _WORKERS),
        *(f"api {number}" for number in _APIS),
        "postgres ",
        "temporal ",
    }
)

KINDS: dict[str, Kind] = {
    "kill-worker": Kind(kill_worker, _WORKERS, 5, "worker"),
    "stop-worker": Kind(stop_worker, _WORKERS, 1, "worker"),
    "freeze-worker": Kind(freeze_worker, _WORKERS, 2, "worker"),
    "lose-answers": Kind(lose_answers, _WORKERS, 3, "worker", frozenset({"link worker-temporal"})),
    "kill-api": Kind(kill_api, _APIS, 3, "api"),
    "kill-postgres": Kind(kill_postgres, ("",), 3, "postgres"),
    "kill-session": Kind(kill_session, ("",), 1, "postgres"),
    "kill-temporal": Kind(kill_temporal, ("",), 3, "temporal"),
    "freeze-temporal": Kind(freeze_temporal, ("",), 1, "temporal"),
    "cut-link": Kind(cut_link, LINKS, 4, "link"),
    "stall-link": Kind(stall_link, LINKS, 3, "link"),
    "slow-link": Kind(slow_link, LINKS, 1, "link"),
    "kill-everything": Kind(kill_everything, ("",), 0.5, "everything", _EVERYTHING),
}
GROUPS = sorted({kind.group for kind in KINDS.values()})


def plan_faults(random: Random, count: int, *, requests: int, only: Sequence[str] = ()) -> list[Fault]:
    """Return that many faults; some come in pairs at the same moment.

    Args:
        random: Decides.
        count: How many.
        requests: How many requests are sure to be made, roughly.
        only: The groups to choose from; all if empty.
    """
    names = [name for name, kind in KINDS.items() if not only or kind.group in only]
    weights = [KINDS[name].weight for name in names]
    planned: list[Fault] = []
    for _ in range(count):
        name = random.choices(names, weights)[0]
        lasting = random.choice([0.2, 0.5, 1.0, 2.0, 4.5])
        seconds, mark = random.uniform(0.2, 8.0), random.randint(1, requests)
        is_by_request, is_pair = random.random() < 0.5, random.random() < 0.25
        target = random.choice(KINDS[name].targets)
        if is_pair and planned:
            seconds, mark = planned[-1].after_seconds, planned[-1].after_requests or mark
            is_by_request = planned[-1].after_requests is not None
        planned.append(Fault(name, target, lasting, seconds, mark if is_by_request else None))
    return planned


@dataclass
class Saboteur:
    """Inflicts planned faults, one after the other on each target."""

    system: System
    timeline: list[str] = field(default_factory=list)
    """What happened when, for people."""
    inflicted: Counter[str] = field(default_factory=Counter)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _began: float = 0.0

    async def inflict_all(self, faults: Sequence[Fault]) -> None:
        """Let everything happen, and return when all is repaired."""
        self._began = time.monotonic()
        before = self.system.world.arrivals
        async with asyncio.TaskGroup() as happening:
            for fault in faults:
                happening.create_task(self._inflict(fault, before))
        await self.system.ready()
        self.note("all is repaired")

    def note(self, text: str) -> None:
        """Write down that something happened."""
        self.timeline.append(f"{time.monotonic() - self._began:7.2f}  {text}")

    async def _inflict(self, fault: Fault, requests_before: int) -> None:
        if fault.after_requests is None:
            await asyncio.sleep(fault.after_seconds)
        else:
            await _until_requests(self.system, requests_before + fault.after_requests, LATEST_SECONDS)
        kind = KINDS[fault.kind]
        async with contextlib.AsyncExitStack() as held:
            for victim in kind.victims(fault.target):
                await held.enter_async_context(self._locks.setdefault(victim, asyncio.Lock()))
            self.note(f"{fault}")
            self.inflicted[fault.kind] += 1
            await kind.inflict(self.system, fault)
            self.note(f"{fault.kind} {fault.target} is over")
