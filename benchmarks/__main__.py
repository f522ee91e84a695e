"""`make bench`: what things take and how far they go, as tables.

- `time`: this engine against hand-written Temporal workflows doing the same work, on the same server, interleaved round
  by round. Only ratios within one run mean anything.
- `costs`: what a node and a request cost, in events of Temporal's and in round trips to Postgres.
- `scale`: very large graphs, loops and values.
- `fairness`: a small user beside a flood.
- `streams`: a thousand idle event streams.
- `watchers`: a thousand watchers of all executions of their users, by stream and by socket.
- `faults`: random graphs under random faults, and how soon work goes on after a worker was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys

from benchmarks.costs import measure_costs, print_costs
from benchmarks.fairness import measure_fairness
from benchmarks.report import print_report
from benchmarks.rounds import ROOT, measure
from benchmarks.scale import measure_resumption, measure_scale, print_scale
from benchmarks.streams import measure_streams
from benchmarks.watchers import print_watchers

GROUPS = ("time", "costs", "scale", "fairness", "streams", "watchers", "faults")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all when left out"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds per workload of `time` (%(default)s)")
    parser.add_argument("--fault-rounds", type=int, default=10, help="rounds of `faults` (%(default)s)")
    parser.add_argument(
        "--only", default="", help="only what of `time`, `costs` and `scale` has this in its name"
    )
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}")
    asyncio.run(run(options.groups or list(GROUPS), options))


async def run(groups: list[str], options: argparse.Namespace) -> None:
    """Measure one group after the other."""
    if "time" in groups:
        print_report(await measure(rounds=options.rounds, only=options.only))
    if "costs" in groups:
        print_costs(await measure_costs(options.only))
    if "scale" in groups:
        print_scale(await measure_scale(options.only))
    if "fairness" in groups:
        print(f"\nFairness: {await measure_fairness()}")
    if "streams" in groups:
        print(f"\nStreams: {await measure_streams()}")
    if "watchers" in groups:
        print("\nWatchers:", flush=True)
        await print_watchers()
    if "faults" in groups:
        print(f"\nAfter the only worker was killed, work goes on in {await measure_resumption():.1f} s.")
        print("\nRandom graphs under random faults:\n", flush=True)
        await asyncio.to_thread(run_faults, options.fault_rounds)


def run_faults(rounds: int) -> None:
    """Run the fault suite, which prints its table.

    Raises:
        CalledProcessError: Something was lost or made twice.
    """
    subprocess.run([sys.executable, "-m", "tests.fault", "--rounds", str(rounds)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
