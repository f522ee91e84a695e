"""The baseline: the same work as plain Temporal workflows, the way a Temporal user would write them, SDK defaults.

Run as a program it is the worker of these workflows.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "handwritten"
TIMEOUT = timedelta(seconds=60)


@activity.defn
async def increment(number: float) -> float:
    """Do what the calculator block does in the pure workloads."""
    return number + 1


@activity.defn
async def add(numbers: list[float]) -> float:
    """Do what a calculator block with two parents does."""
    return sum(numbers)


@activity.defn
async def count(numbers: list[float]) -> int:
    """Do what the joining block does."""
    return len(numbers)


@activity.defn
async def current_time(trigger: str) -> str:
    """Do what the clock block does in the remote workloads."""
    return datetime.now(UTC).strftime("%H:%M:%S") if trigger else ""


@activity.defn
async def combine(texts: list[str]) -> str:
    """Do what the joining text block does."""
    return "".join(texts)


@workflow.defn
class PureChain:
    """A chain of additions."""

    @workflow.run
    async def run(self, size: int) -> float:
        """Return the last sum."""
        number = 0.0
        for _ in range(size):
            number = await workflow.execute_activity(increment, number, start_to_close_timeout=TIMEOUT)
        return number


@workflow.defn
class RemoteChain:
    """A chain of clock readings."""

    @workflow.run
    async def run(self, size: int) -> str:
        """Return the last reading."""
        text = "start"
        for _ in range(size):
            text = await workflow.execute_activity(current_time, text, start_to_close_timeout=TIMEOUT)
        return text


@workflow.defn
class PureFan:
    """Many additions side by side, then a join."""

    @workflow.run
    async def run(self, size: int) -> int:
        """Return how many there were."""
        numbers = await asyncio.gather(
            *(workflow.execute_activity(increment, 0.0, start_to_close_timeout=TIMEOUT) for _ in range(size))
        )
        return await workflow.execute_activity(count, list(numbers), start_to_close_timeout=TIMEOUT)


@workflow.defn
class RemoteFan:
    """Many clock readings side by side, then a join."""

    @workflow.run
    async def run(self, size: int) -> str:
        """Return the readings, joined."""
        texts = await asyncio.gather(
            *(
                workflow.execute_activity(current_time, "start", start_to_close_timeout=TIMEOUT)
                for _ in range(size)
            )
        )
        return await workflow.execute_activity(combine, list(texts), start_to_close_timeout=TIMEOUT)


@workflow.defn
class PureLayers:
    """Layers of additions, each with two parents; each starts as soon as its own parents are done."""

    @workflow.run
    async def run(self, size: int) -> float:
        """Return the sum of the last layer."""
        width = 100
        done: dict[tuple[int, int], asyncio.Task[float]] = {}

        async def node(layer: int, place: int) -> float:
            if layer == 0:
                numbers = [0.0, 1.0]
            else:
                numbers = [await done[layer - 1, place], await done[layer - 1, (place + 1) % width]]
            return await workflow.execute_activity(add, numbers, start_to_close_timeout=TIMEOUT)

        layers = size // width
        for layer in range(layers):
            for place in range(width):
                done[layer, place] = asyncio.create_task(node(layer, place))
        return sum([await done[layers - 1, place] for place in range(width)])


async def _serve(address: str) -> None:
    client = await Client.connect(address)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[PureChain, RemoteChain, PureFan, RemoteFan, PureLayers],
        activities=[increment, add, count, current_time, combine],
    )
    print("ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    asyncio.run(_serve(parser.parse_args().address))
