"""Random graphs under random faults: everything may die, nothing may be lost or made twice.

`FAULT_ROUNDS=20` makes it longer; `python -m tests.fault` prints a table.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fault.harness.rounds import plan_round, run_round
from tests.fault.harness.system import System, run_system

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = 67137
"""Its first round has every shape, every deed of a client, and eight kinds of faults."""
GRAPHS = 8
EXECUTIONS = 16
FAULTS = 10


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """The system under test; its folder stays when something was broken."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-fault-"))
    async with run_system(folder) as running:
        yield running
    if not running.is_evidence:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(600 * ROUNDS)
async def test_what_is_promised_holds_whatever_dies(system: System) -> None:
    for number in range(ROUNDS):
        plan = plan_round(
            SEED,
            number,
            web_url=system.web_url,
            executions=EXECUTIONS,
            faults=FAULTS,
            graphs=GRAPHS,
        )
        report = await run_round(system, plan)
        assert not report.broken, str(report)


def test_a_seed_decides_everything() -> None:
    first, second = (plan_round(7, 3, web_url="http://web", executions=30, faults=8) for _ in range(2))
    assert first == second
    assert first != plan_round(7, 4, web_url="http://web", executions=30, faults=8)
