"""`perdure schedules`: graphs that are executed by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.given import (
    Budget,
    Credentials,
    Given,
    GraphRef,
    InputsFile,
    Limit,
    OfGraph,
    PresetOption,
    Version,
    find_graph,
    read_credentials,
    read_inputs,
    read_object,
)
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, rest_of

if TYPE_CHECKING:
    from perdure.triggers import Schedule

schedules = typer.Typer(help="Graphs that are executed by themselves.", no_args_is_help=True)

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="A schedule.")]
Name = Annotated[str | None, typer.Option(help="What to call it.")]
Cron = Annotated[
    list[str] | None,
    typer.Option(help='When: five fields, e.g. "0 9 * * 1-5", or @daily and the like; repeatable.'),
]
Timezone = Annotated[
    str | None, typer.Option(help="In whose time, e.g. Europe/Zurich; that of your account if left out.")
]
Overlap = Annotated[str | None, typer.Option(help="What happens when the one before still runs, e.g. skip.")]
StartAt = Annotated[
    str | None, typer.Option("--start", metavar="TIME", help="Not before then, e.g. 2030-01-31T00:00:00Z.")
]
EndAt = Annotated[str | None, typer.Option("--end", metavar="TIME", help="Not after then.")]
Jitter = Annotated[int | None, typer.Option(min=0, help="Seconds that a fire may be late, by chance.")]
Catchup = Annotated[
    int | None, typer.Option(min=10, help="Seconds within which a fire that was missed is made up for.")
]
Times = Annotated[int | None, typer.Option(min=1, help="After how many fires it rests.")]
PausesOnFailure = Annotated[
    bool | None,
    typer.Option("--pause-on-failure/--go-on-after-failure", help="Whether a failure pauses it."),
]
Fields = Annotated[
    Path | None,
    typer.Option(
        "--fields",
        metavar="FILE",
        help="What else the API takes, e.g. calendars, intervals, null or [] to unset: a JSON object; options win.",
    ),
]
Note = Annotated[str | None, typer.Option(help="Why.")]


def _asked(
    fields: Path | None,
    given: list[str] | None,
    inputs: Path | None,
    credentials: list[str] | None,
    cron: list[str] | None,
    **named: Any,
) -> dict[str, Any]:
    """Return what was asked for; what was not is not in it."""
    asked = {
        "inputs": read_inputs(inputs, given) or None,
        "credentials_inputs": read_credentials(credentials),
        "cron": cron[0] if cron and len(cron) == 1 else cron or None,
        **named,
    }
    typed = {name: value for name, value in asked.items() if value is not None}
    return ({} if fields is None else read_object(fields)) | typed


@command(schedules, "list")
def list_schedules(shell: Shell, graph: OfGraph = None, limit: Limit = 50) -> None:
    """List your schedules, newest first."""
    with shell.api() as api:
        graph_id = None if graph is None else find_graph(api, graph)
        found = list(api.schedules.list(graph_id=graph_id, limit=limit))
    shell.answer(found, in_columns(map(_row_of, found)))


@command(schedules, "get")
def get_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Show one schedule: when it fires next, and what it has started last."""
    with shell.api() as api:
        schedule = api.schedules.get(schedule_id)
    shell.answer(schedule, _described(schedule))


@command(schedules, "create")
def create_schedule(  # noqa: PLR0913 - the options of the command
    shell: Shell,
    graph: GraphRef,
    cron: Cron = None,
    timezone: Timezone = None,
    given: Given = None,
    inputs: InputsFile = None,
    name: Name = None,
    overlap: Overlap = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    jitter: Jitter = None,
    catchup: Catchup = None,
    times: Times = None,
    pauses_on_failure: PausesOnFailure = None,
    version: Version = None,
    preset_id: PresetOption = None,
    credentials: Credentials = None,
    budget: Budget = None,
    fields: Fields = None,
) -> None:
    """Have a graph executed again and again."""
    asked = _asked(
        fields,
        given,
        inputs,
        credentials,
        cron,
        timezone=timezone,
        name=name,
        overlap=overlap,
        start_at=start_at,
        end_at=end_at,
        jitter=jitter,
        catchup_window=catchup,
        remaining_actions=times,
        pause_on_failure=pauses_on_failure,
        graph_version=version,
        preset_id=preset_id,
        budget=budget,
    )
    with shell.api() as api:
        schedule = api.schedules.create(find_graph(api, graph), **asked)
    shell.answer(schedule, _described(schedule))


@command(schedules, "update")
def update_schedule(  # noqa: PLR0913 - the options of the command
    shell: Shell,
    schedule_id: ScheduleId,
    cron: Cron = None,
    timezone: Timezone = None,
    given: Given = None,
    inputs: InputsFile = None,
    name: Name = None,
    overlap: Overlap = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    jitter: Jitter = None,
    catchup: Catchup = None,
    times: Times = None,
    pauses_on_failure: PausesOnFailure = None,
    version: Version = None,
    preset_id: PresetOption = None,
    credentials: Credentials = None,
    budget: Budget = None,
    fields: Fields = None,
) -> None:
    """Change a schedule; what is left out stays. Inputs are replaced as a whole."""
    asked = _asked(
        fields,
        given,
        inputs,
        credentials,
        cron,
        timezone=timezone,
        name=name,
        overlap=overlap,
        start_at=start_at,
        end_at=end_at,
        jitter=jitter,
        catchup_window=catchup,
        remaining_actions=times,
        pause_on_failure=pauses_on_failure,
        graph_version=version,
        preset_id=preset_id,
        budget=budget,
    )
    with shell.api() as api:
        schedule = api.schedules.update(schedule_id, **asked)
    shell.answer(schedule, _described(schedule))


@command(schedules, "delete")
def delete_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Delete a schedule. What it has started goes on."""
    with shell.api() as api:
        api.schedules.delete(schedule_id)
    shell.answer({"deleted": schedule_id}, [f"{schedule_id}  deleted"])


@command(schedules, "pause")
def pause_schedule(shell: Shell, schedule_id: ScheduleId, note: Note = None) -> None:
    """Let a schedule fire no more for the time being."""
    with shell.api() as api:
        schedule = api.schedules.pause(schedule_id, note)
    shell.answer(schedule, _described(schedule))


@command(schedules, "resume")
def resume_schedule(shell: Shell, schedule_id: ScheduleId, note: Note = None) -> None:
    """Let a schedule fire again."""
    with shell.api() as api:
        schedule = api.schedules.resume(schedule_id, note)
    shell.answer(schedule, _described(schedule))


@command(schedules, "trigger")
def trigger_schedule(shell: Shell, schedule_id: ScheduleId, overlap: Overlap = None) -> None:
    """Let a schedule fire now. The execution is listed a moment later."""
    with shell.api() as api:
        schedule = api.schedules.trigger(schedule_id, overlap=overlap)
    shell.answer(schedule, _described(schedule))


@command(schedules, "backfill")
def backfill_schedule(
    shell: Shell,
    schedule_id: ScheduleId,
    start_at: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From then on, e.g. 2030-01-31T00:00:00Z.")
    ],
    end_at: Annotated[str, typer.Option("--to", metavar="TIME", help="Until then.")],
    overlap: Overlap = None,
) -> None:
    """Let a schedule fire as often as it would have in a time that has passed."""
    with shell.api() as api:
        answer = api.schedules.backfill(schedule_id, start_at, end_at, overlap=overlap)
    shell.answer(answer, [f"{answer['schedule_id']}  fires {answer['fires']} times"])


def next_of(schedule: Schedule) -> str:
    """Return when a schedule fires next, or why nothing is said of it."""
    if schedule["paused"]:
        return "paused"
    moments = schedule["next_fire_times"]
    if moments is None:
        return "unknown: Temporal is away"
    return moments[0] if moments else "never again"


def _row_of(schedule: Schedule) -> tuple[object, ...]:
    last = schedule["last_executions"][:1]
    return (
        schedule["id"],
        schedule["name"],
        _when(schedule),
        schedule["timezone"],
        next_of(schedule),
        last[0]["status"] if last else "",
        schedule["graph_id"],
    )


def _when(schedule: Schedule) -> str:
    cron = schedule["cron"]
    expressions = [cron] if isinstance(cron, str) else cron or []
    counted = (("calendars", len(schedule["calendars"])), ("intervals", len(schedule["intervals"])))
    numbers = (f"{count} {word if count > 1 else word.removesuffix('s')}" for word, count in counted if count)
    return ", ".join([*expressions, *numbers])


def _described(schedule: Schedule) -> Iterator[str]:
    paused = "  paused" if schedule["paused"] else ""
    yield f"{schedule['id']}  {schedule['name']}{paused}".rstrip()
    told = ("id", "name", "paused", "user_id", "next_fire_times", "last_executions")
    yield from rest_of({name: value for name, value in schedule.items() if name not in told})
    word = "left out while paused" if schedule["paused"] else "next"
    yield from (f"  {word}: {moment}" for moment in schedule["next_fire_times"] or [])
    for execution in schedule["last_executions"]:
        error = (execution["error"] or {}).get("message", "")
        yield f"  last: {execution['created_at']}  {execution['id']}  {execution['status']}  {error}".rstrip()
