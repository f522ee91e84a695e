"""Prints what was measured, as tables."""

from __future__ import annotations

from statistics import median, quantiles

from benchmarks.contenders import Baseline, Engine
from benchmarks.rounds import Results, Series
from benchmarks.workloads import WORKLOADS, Workload


def print_report(results: Results) -> None:
    """Print the tables."""
    measured = [workload for workload in WORKLOADS if workload.name in results]
    print("\nTime, measured over REST with every node execution recorded; ratio below 1 is faster.\n")
    print("| workload | hand-written p50 / p95 | perdure p50 / p95 | ratio | goal | |")
    print("|---|---|---|---|---|---|")
    for workload in measured:
        print(_time_row(workload, results[workload.name]))
    print("\nWhat a node costs. CPU in ms: worker + Temporal server + API and Postgres.\n")
    print("| workload | contender | history events | history bytes | CPU |")
    print("|---|---|---|---|---|")
    for workload in measured:
        for name, series in results[workload.name].items():
            print(_cost_row(workload, name, series))


def _time_row(workload: Workload, by_contender: dict[str, Series]) -> str:
    baseline, engine = by_contender[Baseline.name], by_contender[Engine.name]
    ratio = median(
        ours.seconds / theirs.seconds for ours, theirs in zip(engine.samples, baseline.samples, strict=True)
    )
    goal = f"{workload.goal:.2f}" if workload.goal else "-"
    verdict = "" if workload.goal is None else ("reached" if ratio <= workload.goal else "missed")
    return (
        f"| {workload.name} | {_latency(baseline)} | {_latency(engine)} | {ratio:.2f} | {goal} | {verdict} |"
    )


def _latency(series: Series) -> str:
    latencies = sorted(1_000 * seconds for sample in series.samples for seconds in sample.latencies)
    p95 = quantiles(latencies, n=20)[-1] if len(latencies) > 1 else latencies[0]
    return f"{median(latencies):.0f} / {p95:.0f} ms"


def _cost_row(workload: Workload, name: str, series: Series) -> str:
    nodes = workload.size * workload.at_once
    cpu = " + ".join(
        f"{1_000 * median(times) / nodes:.2f}"
        for times in (series.worker_cpu, series.server_cpu, series.other_cpu)
    )
    events, size = series.events / workload.size, series.history_bytes / workload.size
    return f"| {workload.name} | {name} | {events:.2f} | {size:.0f} | {cpu} |"
