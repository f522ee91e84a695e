"""`python -m tests.fault.paid_calls --kills 100`: kill worker and Postgres between reservation and settlement."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.engine import make_engine
from tests.fault.harness.paid_calls import Verdict, paid_calls, plan_kills
from tests.stack import run_stack


def main() -> int:
    """Kill as often as is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.paid_calls", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="perdure-paid-"))
    began = time.monotonic()
    # Its pools tell of each Postgres that is gone.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    verdict = asyncio.run(_run(folder, given.kills))
    _show(verdict, seconds=time.monotonic() - began)
    if verdict.wrongs:
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(folder: Path, kills: int) -> Verdict:
    async with (
        run_stack(folder / "stack") as stack,
        make_engine(await stack.connect(), stack.database_url) as engine,
        paid_calls(engine, stack, folder) as calls,
    ):
        await calls.begin(kills)
        for number, kill in enumerate(plan_kills(kills), 1):
            await calls.inflict(kill)
            _write(f"{number:>4}  {kill}")
        return await calls.end()


def _show(verdict: Verdict, *, seconds: float) -> None:
    rows: list[tuple[str, object]] = [
        ("kills", verdict.kills.total()),
        *((f"  {kind}", count) for kind, count in sorted(verdict.kills.items())),
        ("executions", verdict.executions),
        ("answers of providers", verdict.answers),
        ("  heard by nobody", verdict.answers - verdict.calls),
        ("calls that were answered", verdict.calls),
        ("entries that settle one", verdict.settled),
        ("credits that the calls are worth", verdict.worth),
        ("credits that were charged", verdict.charged),
        ("difference", verdict.charged - verdict.worth),
        ("credits still reserved", verdict.left_reserved),
        ("seconds", f"{seconds:.0f}"),
        *(("WRONG", text) for text in verdict.wrongs),
    ]
    _write("")
    for name, value in rows:
        _write(f"{name:<36} {value}")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
