"""One round: the same executions first without faults and then with, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from app.api.services.identity import execution_id_of
from app.workflows.graph_execution import GraphExecutionWorkflow
from tests.fault.harness.answers import count_answers
from tests.fault.harness.cases import Case, make_case
from tests.fault.harness.clients import Client
from tests.fault.harness.effects import SECRET
from tests.fault.harness.evidence import Evidence, Witness, gather_evidence
from tests.fault.harness.faults import Fault, Saboteur, plan_faults
from tests.fault.harness.invariants import INVARIANTS
from tests.fault.harness.journeys import Journey, plan_journeys, travel
from tests.fault.harness.ledgers import list_wrongs, sum_of
from tests.fault.harness.reports import RoundReport
from tests.fault.harness.system import System

CASES = 4
END_SECONDS = 120.0
"""How long after the last repair everything must have ended."""
REPLAYED = 6
REQUESTS = 4
"""How many an execution makes, rather less than more."""


@dataclass(frozen=True)
class RoundPlan:
    """All of a round that is decided beforehand. It follows from the seed and the round's number."""

    name: str
    cases: Sequence[Case]
    journeys: Sequence[Journey]
    faults: Sequence[Fault]


def plan_round(
    seed: int,
    number: int,
    *,
    web_url: str,
    executions: int,
    faults: int,
    graphs: int = CASES,
    only: Sequence[str] = (),
) -> RoundPlan:
    """Return what happens in a round.

    Args:
        seed: Of the suite.
        number: Of the round; each can be repeated alone.
        web_url: Where the graphs find the world.
        executions: How many there are.
        faults: How many.
        graphs: How many different ones are executed.
        only: The groups of faults to choose from; all if empty.
    """
    name = f"{seed}-{number}"
    cases = [make_case(Random(f"{name} case {k}"), web_url) for k in range(graphs)]
    journeys = plan_journeys(Random(f"{name} journeys"), executions, cases=graphs)
    return RoundPlan(
        name,
        cases,
        journeys,
        plan_faults(Random(f"{name} faults"), faults, requests=REQUESTS * executions, only=only),
    )


async def run_round(system: System, plan: RoundPlan) -> RoundReport:
    """Run a round."""
    began = time.monotonic()
    report = RoundReport(plan.name, executions=len(plan.journeys))
    async with Client(f"round-{plan.name}@example.org", system.api_urls) as client:
        client.credentials_id = await _keep_secret(client, system)
        graph_ids = [await _save(client, case) for case in plan.cases]
        expected = await _run_without_faults(system, client, plan, graph_ids)
        witnesses = await _run_with_faults(system, client, plan, graph_ids, report)
        evidence = await _gather(system, client, witnesses, expected)
        nested = await _gather_nested(system, client, [*expected, *evidence])
        _judge([*expected, *evidence, *nested], report)
        for wrong in await list_wrongs(system.stack, [*expected, *evidence, *nested]):
            report.blame("the ledger is right", wrong)
        report.charged = sum_of([*expected, *evidence])
        await _check_list(client, [*expected, *evidence], witnesses, report)
        await _replay(system, evidence, report)
        await _delete(system, client, [*expected, *evidence], report)
        for key in system.world.strangers:
            report.blame("a secret arrives", f"{key} was asked without it")
        for scandal in client.scandals:
            report.blame("an API never fails", scandal)
        report.refusals = client.refusals
        report.found_on_record = sum(execution.found_on_record() for execution in evidence)
        report.hand_overs = sum(len(execution.histories) - 1 for execution in evidence)
        report.questions = sum(len(execution.questions) for execution in evidence)
        report.asked_again = report.questions - len(
            {asked.key for execution in evidence for asked in execution.questions}
        )
        report.retries = sum(execution.record["stats"]["retries"] for execution in evidence)
    report.seconds = time.monotonic() - began
    if report.broken:
        _keep(system, report, [*expected, *evidence, *nested])
    return report


async def _keep_secret(client: Client, system: System) -> str:
    body = {
        "provider": "http",
        "type": "host_scoped",
        "host": urlsplit(system.web_url).netloc,
        "headers": {"X-Secret": SECRET},
    }
    response = await client.ask("POST", "/api/credentials", json=body)
    assert response.status_code == 201, response.text
    credentials_id: str = response.json()["id"]
    return credentials_id


async def _save(client: Client, case: Case) -> str:
    nested = [await _save_graph(client, body) for body in case.nested]
    return await _save_graph(client, case.body_with(nested))


async def _save_graph(client: Client, body: dict[str, Any]) -> str:
    response = await client.ask("POST", "/api/graphs", json=body)
    assert response.status_code == 201, response.text
    graph_id: str = response.json()["id"]
    return graph_id


async def _run_without_faults(
    system: System, client: Client, plan: RoundPlan, graph_ids: Sequence[str]
) -> list[Evidence]:
    witnesses = [Witness(case, f"expected-{number}") for number, case in enumerate(plan.cases)]
    journeys = [Journey(number) for number in range(len(plan.cases))]
    ended = asyncio.gather(
        *(
            travel(client, journey, witness, graph_ids[journey.case])
            for journey, witness in zip(journeys, witnesses, strict=True)
        )
    )
    try:
        await asyncio.wait_for(ended, END_SECONDS)
    except TimeoutError:
        system.is_evidence = True
        seen = {witness.execution_id: witness.statuses for witness in witnesses}
        raise AssertionError(f"Without any fault these do not end: {seen}; logs: {system.folder}") from None
    temporal = await system.stack.connect()
    return [await gather_evidence(client, temporal, witness, system) for witness in witnesses]


async def _run_with_faults(
    system: System, client: Client, plan: RoundPlan, graph_ids: Sequence[str], report: RoundReport
) -> list[Witness]:
    saboteur = Saboteur(system, report.timeline, report.inflicted)
    witnesses = [
        Witness(plan.cases[journey.case], f"journey-{number}") for number, journey in enumerate(plan.journeys)
    ]
    travelling = [
        asyncio.create_task(travel(client, journey, witness, graph_ids[journey.case]))
        for journey, witness in zip(plan.journeys, witnesses, strict=True)
    ]
    try:
        await saboteur.inflict_all(plan.faults)
        repaired = time.monotonic()
        _, late = await asyncio.wait(travelling, timeout=END_SECONDS)
        report.recovery_seconds = time.monotonic() - repaired
        saboteur.note("all executions have ended" if not late else f"{len(late)} executions do not end")
    finally:
        for task in travelling:
            task.cancel()
        results = await asyncio.gather(*travelling, return_exceptions=True)
    for witness, result in zip(witnesses, results, strict=True):
        if isinstance(result, Exception):
            report.blame("a client is served", f"{witness.execution_id or witness.key}: {result!r}")
    return [*witnesses, *(witness.rerun for witness in witnesses if witness.rerun is not None)]


async def _gather(
    system: System, client: Client, witnesses: Sequence[Witness], expected: Sequence[Evidence]
) -> list[Evidence]:
    temporal = await system.stack.connect()
    owner = expected[0].record["user_id"]
    found = []
    for witness in witnesses:
        if not witness.execution_id:
            # Its client gave up after a refusal: it may exist or not, but then it is found by its key.
            execution_id = str(execution_id_of(owner, witness.key))
            response = await client.ask("GET", f"/api/executions/{execution_id}")
            if response.status_code == 404:
                continue
            witness.execution_id = execution_id
            await travel(client, Journey(0), witness, "")
        same = next(done for done in expected if done.witness.case is witness.case)
        found.append(await gather_evidence(client, temporal, witness, system, expected=same))
    return found


async def _gather_nested(system: System, client: Client, evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return what is known of the executions that others have started. What they give shows in those."""
    temporal = await system.stack.connect()
    cases = {execution.witness.execution_id: execution.witness.case for execution in evidence}
    found = []
    for row in await client.read_all("/api/executions", trigger="subgraph"):
        witness = Witness(cases[row["parent_id"]], "", row["id"])
        found.append(await gather_evidence(client, temporal, witness, system))
    return found


def _judge(evidence: Sequence[Evidence], report: RoundReport) -> None:
    for execution in evidence:
        for invariant in INVARIANTS:
            for sentence in invariant(execution):
                report.blame(invariant.__name__, f"{execution.name}: {sentence}")


async def _check_list(
    client: Client, evidence: Sequence[Evidence], witnesses: Sequence[Witness], report: RoundReport
) -> None:
    """Each key has started one execution at most, and none has changed since it ended."""
    listed = await client.read_all("/api/executions")
    statuses = {row["id"]: row["status"] for row in listed}
    known = {execution.witness.execution_id: execution.record["status"] for execution in evidence}
    if len(listed) != len(statuses) or statuses != known:
        unknown = {id_: status for id_, status in statuses.items() if known.get(id_) != status}
        missing = set(known) - set(statuses)
        report.blame(
            "the list is true",
            f"not started or changed: {unknown}; not listed: {missing}; {len(witnesses)} keys",
        )


async def _replay(system: System, evidence: Sequence[Evidence], report: RoundReport) -> None:
    """Present workflow code replays what it has just done, under faults too."""
    temporal = await system.stack.connect()
    replayer = Replayer(
        workflows=[GraphExecutionWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=temporal.data_converter,
    )
    suspects = sorted(evidence, key=lambda execution: -len(execution.histories[0].events))
    for execution in suspects[:REPLAYED]:
        for history in execution.histories:
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if result.replay_failure is not None:
                report.blame("histories replay", f"{execution.name}: {result.replay_failure}")


async def _delete(system: System, client: Client, evidence: Sequence[Evidence], report: RoundReport) -> None:
    """What models have answered goes with its execution."""
    deleted = [execution.witness.execution_id for execution in evidence if execution.answers]
    for execution_id in deleted:
        response = await client.ask("DELETE", f"/api/executions/{execution_id}")
        if response.status_code not in {204, 404}:
            report.blame("an execution is deleted", f"{execution_id}: {response.status_code} {response.text}")
    if left := await count_answers(system.stack, deleted):
        report.blame("an execution is deleted", f"of {deleted} there are {left} answers left")


def _keep(system: System, report: RoundReport, evidence: Sequence[Evidence]) -> None:
    system.is_evidence = True
    report.folder = system.folder / f"broken-{report.name}"
    report.folder.mkdir(parents=True, exist_ok=True)
    for execution in evidence:
        if any(execution.name in text for texts in report.broken.values() for text in texts):
            execution.write(report.folder / execution.witness.execution_id)
    (report.folder / "report.txt").write_text(f"{report}\n")
