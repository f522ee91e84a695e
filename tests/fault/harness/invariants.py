"""What holds after every round, whatever has died. Each invariant gives a sentence for each time that it is broken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.rest import TERMINAL
from tests.fault.harness.clients import LAST_EVENTS
from tests.fault.harness.evidence import Evidence, moment_of
from tests.fault.harness.graphs import LOST, SENT
from tests.fault.harness.models import Question

ENDS_OF_NODES = {
    f"node_{status}": status.upper() for status in ("completed", "failed", "cancelled", "skipped")
}
OVERLAP_SECONDS = 1.0
"""Two attempts are under way at once when one was given up for dead; one may end just before the other asks."""
TEMPORAL_STATUSES = {
    "COMPLETED": {"COMPLETED"},
    "FAILED": {"FAILED"},
    "CANCELLED": {"CANCELED", "TERMINATED"},
}

Invariant = Callable[[Evidence], Iterator[str]]


def it_has_ended_once(evidence: Evidence) -> Iterator[str]:
    """An accepted execution reaches exactly one terminal status and keeps it."""
    status = evidence.record["status"]
    if status not in TERMINAL:
        yield f"it is {status} although all is repaired"
    seen = [seen for seen in evidence.witness.statuses if seen in TERMINAL]
    if any(earlier != status for earlier in seen):
        yield f"it was answered to be {', '.join(seen)} and is {status}"
    last = [event["type"] for event in evidence.events if event["type"] in LAST_EVENTS]
    if last != [f"execution_{status.lower()}"] or evidence.events[-1]["type"] != last[0]:
        yield f"it is {status}, its log ends with {evidence.events[-1:]} and tells of the ends {last}"


def its_events_have_no_hole_and_no_double(evidence: Evidence) -> Iterator[str]:
    """Events are numbered 1, 2, 3 …, and nothing is told twice."""
    numbers = [event["seq"] for event in evidence.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its events are numbered {numbers}"
    ends = Counter(
        event["data"]["node_execution_id"] for event in evidence.events if event["type"] in ENDS_OF_NODES
    )
    for node_execution, count in ends.items():
        if count > 1:
            yield f"the end of the node execution {node_execution} is told {count} times"


def its_nodes_have_ended(evidence: Evidence) -> Iterator[str]:
    """Each node execution of an ended execution has ended, once, as the log tells."""
    told = {
        event["data"]["node_execution_id"]: ENDS_OF_NODES[event["type"]]
        for event in evidence.events
        if event["type"] in ENDS_OF_NODES
    }
    begun = set(evidence.numbers())
    rows = {row["id"]: row["status"] for row in evidence.own_nodes}
    if len(rows) != len(evidence.own_nodes):
        yield "a node execution is listed twice"
    if begun - set(rows) or set(rows) - begun:
        yield f"the log tells of {len(begun)} node executions, {len(rows)} are recorded"
    for row in evidence.own_nodes:
        if row["status"] != told.get(row["id"]):
            yield f"{row['node_id']} is {row['status']}; the log says {told.get(row['id'])}"


def its_stats_agree_with_its_rows(evidence: Evidence) -> Iterator[str]:
    """What is counted is what is there."""
    statuses = Counter(row["status"] for row in evidence.nodes)
    counted = {
        "node_executions": len(evidence.nodes),
        "completed": statuses["COMPLETED"],
        "failed": statuses["FAILED"],
        "retries": sum(row["attempt"] - 1 for row in evidence.own_nodes),
    }
    stats = {name: evidence.record["stats"][name] for name in counted}
    if stats != counted:
        yield f"its stats are {stats}, its rows say {counted}"


def it_gives_what_it_gives_without_faults(evidence: Evidence) -> Iterator[str]:
    """Status, error, outputs and node executions are those of a run without faults."""
    expected = evidence.expected
    if expected is None or evidence.is_stopped:
        return
    status, error = evidence.record["status"], evidence.record["error"]
    if (status, error) != (expected.record["status"], expected.record["error"]):
        yield f"it is {status} ({error}) instead of {expected.record['status']} ({expected.record['error']})"
        return
    given, wanted = evidence.record["outputs"], expected.record["outputs"]
    for name in sorted(given.keys() | wanted.keys()):
        if given.get(name) != wanted.get(name) and not _is_lost_request(name, given):
            yield f"its output {name} is {_short(given.get(name))} instead of {_short(wanted.get(name))}"
    if not any(name.startswith(LOST) for name in given):
        fired, wanted_to_fire = _firings(evidence), _firings(expected)
        if fired != wanted_to_fire:
            yield f"it has executed {fired - wanted_to_fire} more and {wanted_to_fire - fired} less"


def _is_lost_request(name: str, given: dict[str, Any]) -> bool:
    """Answer whether an output differs because a request that is never repeated got lost, as it may."""
    node = name.removeprefix(SENT).removeprefix(LOST)
    return node != name and (SENT + node in given) is not (LOST + node in given)


def _firings(evidence: Evidence) -> Counter[str]:
    return Counter(f"{row['node_id']}: {row['status']}" for row in evidence.nodes)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}… ({len(text)} characters)"


def no_recorded_completion_is_made_again(evidence: Evidence) -> Iterator[str]:
    """After a completion was recorded, no further attempt makes its request."""
    numbers = evidence.numbers()
    completions = evidence.completions()
    for row in evidence.nodes:
        event = completions.get(row["id"])
        if event is None:
            continue
        effects = evidence.effects_of(row, numbers[row["id"]])
        recorded = moment_of(event)
        late = [effect for effect in effects if effect.at > recorded + OVERLAP_SECONDS]
        if late and len(effects) > event["data"]["attempt"]:
            seconds = [round(effect.at - recorded, 2) for effect in effects]
            yield (
                f"{row['node_id']} was completed by attempt {event['data']['attempt']} and asked again: "
                f"its requests came {seconds} s after the record"
            )


def _is_of(activity_id: str, node_id: str, n: int) -> bool:
    """Answer whether an activity is a call of a node execution, or one of its turns."""
    name = f"{node_id}#{n}"
    return activity_id == name or activity_id.startswith(f"{name}.")


def no_attempt_asks_twice(evidence: Evidence) -> Iterator[str]:
    """A node execution makes one request per attempt at most, one in all if it is never repeated, and one at least."""
    attempts, numbers = evidence.attempts(), evidence.numbers()
    for row in evidence.own_nodes:
        n = numbers[row["id"]]
        count = len(evidence.effects_of(row, n))
        # A conversation has an activity for each of its turns.
        of_turns = [count for name, count in attempts.items() if _is_of(name, row["node_id"], n)]
        most: float = max(of_turns, default=math.inf)
        if row["node_id"] in evidence.witness.case.once:
            most = 1
        if count > most:
            yield f"{row['node_id']}#{n} has made {count} requests in {most:g} attempts"
        if row["attempt"] > most and row["node_id"] not in evidence.witness.case.once:
            yield f"{row['node_id']}#{n} is recorded with attempt {row['attempt']} of {most:g}"
        expected = evidence.expected
        is_asking = expected is not None and any(
            effect.key.split(":")[1] == row["node_id"] for effect in expected.effects
        )
        if is_asking and row["status"] == "COMPLETED" and not count:
            yield f"{row['node_id']}#{n} is completed and never made its request"


def what_is_taken_over_is_not_made_again(evidence: Evidence) -> Iterator[str]:
    """A rerun makes no request of a node whose executions it has taken over."""
    taken_over = {row["node_id"] for row in evidence.nodes} - {row["node_id"] for row in evidence.own_nodes}
    again = {effect.key.split(":")[1] for effect in evidence.effects} & taken_over
    if again:
        yield f"it has taken over what {', '.join(sorted(again))} did, and asked again"


def no_recorded_answer_is_asked_for_again(evidence: Evidence) -> Iterator[str]:
    """After an answer of a model was recorded, nobody asks for it who was not already at work on the node."""
    ends = {
        evidence.key_of(row, evidence.numbers()[row["id"]]): moment_of(evidence.completions()[row["id"]])
        for row in evidence.own_nodes
        if row["id"] in evidence.completions()
    }
    for asked in evidence.questions:
        recorded = min(evidence.answers.get(asked.key, math.inf), ends.get(asked.place, math.inf))
        begun = [other.at for other in evidence.questions if _is_same_attempt(other, asked)]
        if min(begun) > recorded + OVERLAP_SECONDS:
            yield f"{asked.key} was asked by {asked.asker} {asked.at - recorded:.2f} s after its answer was recorded"


def _is_same_attempt(question: Question, other: Question) -> bool:
    return (question.place, question.asker) == (other.place, other.asker)


def no_attempt_asks_a_model_twice(evidence: Evidence) -> Iterator[str]:
    """A question is put once per attempt at most, and what was recorded was asked for."""
    attempts = evidence.attempts()
    counts = Counter(asked.key for asked in evidence.questions)
    for key, count in counts.items():
        _, node_id, n, *part = key.split(":")
        turn = f".{part[0]}" if part and part[0].isdigit() else ""
        most = attempts.get(f"{node_id}#{n}{turn}", math.inf)
        if count > most:
            yield f"{key} was asked {count} times in {most:g} attempts"
    for key in evidence.answers.keys() - counts.keys():
        yield f"the answer to {key} is recorded, and nobody has asked for it"


def its_calls_of_models_are_counted(evidence: Evidence) -> Iterator[str]:
    """A completed node execution has counted what was recorded, and no more than it has asked."""
    numbers = evidence.numbers()
    for row in evidence.own_nodes:
        key = evidence.key_of(row, numbers[row["id"]])
        asked = [question for question in evidence.questions if question.place == key]
        if row["status"] != "COMPLETED" or not asked:
            continue
        least, counted = len({question.key for question in asked}), (row["usage"] or {}).get("calls", 0)
        if not least <= counted <= len(asked):
            yield f"{key} has counted {counted} calls; {least} different ones were asked, {len(asked)} in all"


def temporal_agrees(evidence: Evidence) -> Iterator[str]:
    """Temporal has closed the workflow as the record says."""
    allowed = TEMPORAL_STATUSES.get(evidence.record["status"], set())
    if evidence.temporal_status not in allowed:
        yield f"it is {evidence.record['status']} on record and {evidence.temporal_status} in Temporal"


def its_stream_is_its_log(evidence: Evidence) -> Iterator[str]:
    """Who followed the stream, with whatever breaks in it, has seen the log: no event missing, none twice."""
    streamed = evidence.witness.streamed
    if streamed is not None and list(streamed) != list(evidence.events):
        numbers = [event["seq"] for event in streamed]
        yield f"its stream gave the events {numbers}, its log has {len(evidence.events)}"


def its_stop_was_true(evidence: Evidence) -> Iterator[str]:
    """A stop is answered with the end, and that end is the execution's."""
    if evidence.is_stopped and evidence.witness.stop_answer != evidence.record["status"]:
        yield f"its stop was answered {evidence.witness.stop_answer}, it is {evidence.record['status']}"


INVARIANTS: tuple[Invariant, ...] = (
    it_has_ended_once,
    its_events_have_no_hole_and_no_double,
    its_nodes_have_ended,
    its_stats_agree_with_its_rows,
    it_gives_what_it_gives_without_faults,
    no_recorded_completion_is_made_again,
    no_attempt_asks_twice,
    what_is_taken_over_is_not_made_again,
    no_recorded_answer_is_asked_for_again,
    no_attempt_asks_a_model_twice,
    its_calls_of_models_are_counted,
    temporal_agrees,
    its_stream_is_its_log,
    its_stop_was_true,
)
