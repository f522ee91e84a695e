"""How much one worker takes on: slots of remote blocks, and executions kept in memory between two tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from temporalio.worker import (
    FixedSizeSlotSupplier,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    WorkerTuner,
)

WORKFLOW_TASKS = 20
LOCAL_ACTIVITIES = 50
MEMORY_SHARE = 0.8
CPU_SHARE = 0.9
_FIRST_SLOTS = 5
"""Remote blocks that run whatever the machine's load, so that a loaded machine is not a dead one."""
_RAMP = timedelta(milliseconds=5)
"""Pause between two further slots, so that the load of the one before can be seen."""

_CACHE_SHARE = 0.25
_BYTES_PER_EXECUTION = 1 << 20
"""What an execution of some hundred nodes takes while it is kept, with room to spare; small ones take a tenth."""
_FEWEST_CACHED = 100
_MOST_CACHED = 2_000
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Targets:
    """How loaded the machine may be before a worker takes no further remote block."""

    memory: float
    """Share of the memory, up to 1."""
    cpu: float
    """Share of the CPU, up to 1."""


def make_tuner(concurrency: int, targets: Targets | None) -> WorkerTuner:
    """Return what hands out the slots of one task queue.

    Args:
        concurrency: Remote blocks at once, at most.
        targets: Bounds on the machine's load; None for a fixed number of slots.
    """
    remote: FixedSizeSlotSupplier | ResourceBasedSlotSupplier = FixedSizeSlotSupplier(concurrency)
    if targets is not None:
        remote = ResourceBasedSlotSupplier(
            ResourceBasedSlotConfig(
                minimum_slots=min(_FIRST_SLOTS, concurrency), maximum_slots=concurrency, ramp_throttle=_RAMP
            ),
            ResourceBasedTunerConfig(target_memory_usage=targets.memory, target_cpu_usage=targets.cpu),
        )
    return WorkerTuner.create_composite(
        workflow_supplier=FixedSizeSlotSupplier(WORKFLOW_TASKS),
        activity_supplier=remote,
        local_activity_supplier=FixedSizeSlotSupplier(LOCAL_ACTIVITIES),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )


def cached_executions(memory_bytes: int) -> int:
    """Return how many executions a worker keeps in memory; one that was dropped is replayed when it goes on.

    Args:
        memory_bytes: What the worker's machine or container has.
    """
    fitting = int(memory_bytes * _CACHE_SHARE) // _BYTES_PER_EXECUTION
    return max(_FEWEST_CACHED, min(fitting, _MOST_CACHED))


def memory_of_this_machine() -> int:
    """Return the bytes of memory of the machine, or of the container when that has fewer."""
    memory: int = psutil.virtual_memory().total
    for path in _CGROUP_LIMITS:
        try:
            memory = min(memory, int(path.read_text()))
        except (OSError, ValueError):
            continue  # no such limit, or the word `max`
    return memory
