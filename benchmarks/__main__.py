"""`make bench`: this engine against hand-written Temporal workflows doing the same work, on the same server.

Interleaved round by round. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.report import print_report
from benchmarks.rounds import measure


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per workload")
    parser.add_argument("--only", default="", help="only workloads whose name contains this")
    options = parser.parse_args()
    print_report(asyncio.run(measure(rounds=options.rounds, only=options.only)))


if __name__ == "__main__":
    main()
