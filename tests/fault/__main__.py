"""`python -m tests.fault --seed 7 --rounds 20`: the fault suite for as long as you like, with a table at the end."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fault.harness.faults import GROUPS
from tests.fault.harness.reports import RoundReport
from tests.fault.harness.rounds import plan_round, run_round
from tests.fault.harness.system import run_system

MADE_AGAIN = (
    "no_recorded_completion_is_made_again",
    "no_attempt_asks_twice",
    "no_recorded_answer_is_asked_for_again",
    "no_attempt_asks_a_model_twice",
)
"""Invariants: what was done is not done again."""


def main() -> int:
    """Run rounds; return the exit code."""
    given = _read_arguments()
    folder = Path(tempfile.mkdtemp(prefix="perdure-fault-"))
    began = time.monotonic()
    reports = asyncio.run(_run(folder, given))
    _show_table(reports, seconds=time.monotonic() - began)
    broken = [report for report in reports if report.broken]
    if broken:
        _show(f"\nRepeat one with --seed {given.seed} --first ROUND --rounds 1; evidence and logs: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _show(text: object = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides graphs, executions and faults")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, metavar="ROUND", help="number of the first round")
    parser.add_argument("--executions", type=int, default=30, help="per round")
    parser.add_argument("--faults", type=int, default=8, help="per round")
    parser.add_argument("--only", default="", help=f"kinds of faults, by comma: {', '.join(GROUPS)}")
    given = parser.parse_args()
    given.only = [name for name in given.only.split(",") if name]
    if unknown := set(given.only) - set(GROUPS):
        parser.error(f"--only knows {', '.join(GROUPS)}, not {', '.join(sorted(unknown))}")
    return given


async def _run(folder: Path, given: argparse.Namespace) -> list[RoundReport]:
    reports = []
    async with run_system(folder) as system:
        for number in range(given.first, given.first + given.rounds):
            plan = plan_round(
                given.seed,
                number,
                web_url=system.web_url,
                executions=given.executions,
                faults=given.faults,
                only=given.only,
            )
            report = await run_round(system, plan)
            reports.append(report)
            _show_row(report)
    return reports


def _show_row(report: RoundReport) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.inflicted.items()))
    verdict = "holds" if not report.broken else "BROKEN"
    _show(
        f"{report.name:>8}  {verdict:<6}  {report.executions:>3} executions  {report.retries:>3} retries  "
        f"{report.found_on_record:>2} found done  {report.refusals:>4} refusals  {report.seconds:5.1f} s  "
        f"recovered in {report.recovery_seconds:4.1f} s  {kinds}"
    )
    if report.broken:
        _show(report)


def _show_table(reports: Sequence[RoundReport], *, seconds: float) -> None:
    inflicted: Counter[str] = sum((report.inflicted for report in reports), Counter())
    broken: Counter[str] = Counter()
    for report in reports:
        broken.update({name: len(texts) for name, texts in report.broken.items()})
    rows: list[tuple[str, object]] = [
        ("rounds", len(reports)),
        ("executions", sum(report.executions for report in reports)),
        ("faults", sum(inflicted.values())),
        *((f"  {kind}", count) for kind, count in sorted(inflicted.items())),
        ("refused requests", sum(report.refusals for report in reports)),
        ("attempts that were repeated", sum(report.retries for report in reports)),
        ("attempts that found their work done", sum(report.found_on_record for report in reports)),
        ("questions to models", sum(report.questions for report in reports)),
        ("  asked again", sum(report.asked_again for report in reports)),
        ("credits charged", sum(report.charged for report in reports)),
        ("hand-overs to a next run", sum(report.hand_overs for report in reports)),
        ("lost", broken["it_has_ended_once"]),
        ("made again", sum(broken[name] for name in MADE_AGAIN)),
        ("broken invariants", sum(broken.values())),
        *((f"  {name}", count) for name, count in sorted(broken.items())),
        ("slowest recovery, s", f"{max((report.recovery_seconds for report in reports), default=0):.1f}"),
        ("seconds", f"{seconds:.0f}"),
    ]
    _show()
    for name, value in rows:
        _show(f"{name:<44} {value}")


if __name__ == "__main__":
    sys.exit(main())
