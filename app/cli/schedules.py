"""`perdure schedules`: graphs that are executed by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from app.cli.given import Given, GraphRef, InputsFile, Limit, find_graph, read_inputs
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, shown

schedules = typer.Typer(help="Graphs that are executed by themselves.", no_args_is_help=True)

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="A schedule.")]
Name = Annotated[str | None, typer.Option(help="What to call it.")]
Overlap = Annotated[str | None, typer.Option(help="What happens when the one before still runs, e.g. skip.")]
CRON = typer.Option(help='When: five fields, e.g. "0 9 * * 1-5".')
TIMEZONE = typer.Option(help="In whose time, e.g. Europe/Bern.")


@command(schedules, "list")
def list_schedules(
    shell: Shell,
    graph: Annotated[str | None, typer.Option(metavar="GRAPH", help="Only those of this graph.")] = None,
    limit: Limit = 50,
) -> None:
    """List your schedules, newest first."""
    with shell.api() as api:
        graph_id = None if graph is None else find_graph(api, graph)
        found = list(api.schedules.list(graph_id=graph_id, limit=limit))
    rows = ((one["id"], one.get("name", ""), one["cron"], one["timezone"], one["graph_id"]) for one in found)
    shell.answer(found, in_columns(rows))


@command(schedules, "get")
def get_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Show one schedule, and when it fires next."""
    with shell.api() as api:
        schedule = api.schedules.get(schedule_id)
    shell.answer(schedule, _described(schedule))


@command(schedules, "create")
def create_schedule(
    shell: Shell,
    graph: GraphRef,
    cron: Annotated[str, CRON],
    timezone: Annotated[str, TIMEZONE] = "UTC",
    given: Given = None,
    inputs: InputsFile = None,
    name: Name = None,
    overlap: Overlap = None,
) -> None:
    """Have a graph executed again and again."""
    values = read_inputs(inputs, given)
    with shell.api() as api:
        graph_id = find_graph(api, graph)
        schedule = api.schedules.create(
            graph_id, cron, timezone=timezone, inputs=values, name=name, overlap=overlap
        )
    shell.answer(schedule, _described(schedule))


@command(schedules, "update")
def update_schedule(
    shell: Shell,
    schedule_id: ScheduleId,
    cron: Annotated[str | None, CRON] = None,
    timezone: Annotated[str | None, TIMEZONE] = None,
    given: Given = None,
    inputs: InputsFile = None,
    name: Name = None,
    overlap: Overlap = None,
) -> None:
    """Change a schedule; what is left out stays. Inputs are replaced as a whole."""
    named = {
        "cron": cron,
        "timezone": timezone,
        "inputs": read_inputs(inputs, given) or None,
        "name": name,
        "overlap": overlap,
    }
    changes = {key: value for key, value in named.items() if value is not None}
    with shell.api() as api:
        schedule = api.schedules.update(schedule_id, **changes)
    shell.answer(schedule, _described(schedule))


@command(schedules, "delete")
def delete_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Delete a schedule. What it has started goes on."""
    with shell.api() as api:
        api.schedules.delete(schedule_id)
    shell.answer({"deleted": schedule_id}, [f"{schedule_id}  deleted"])


@command(schedules, "pause")
def pause_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Let a schedule fire no more for the time being."""
    with shell.api() as api:
        schedule = api.schedules.pause(schedule_id)
    shell.answer(schedule, _described(schedule))


@command(schedules, "resume")
def resume_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Let a schedule fire again."""
    with shell.api() as api:
        schedule = api.schedules.resume(schedule_id)
    shell.answer(schedule, _described(schedule))


@command(schedules, "trigger")
def trigger_schedule(shell: Shell, schedule_id: ScheduleId) -> None:
    """Let a schedule fire now."""
    with shell.api() as api:
        answer = api.schedules.trigger(schedule_id)
    shell.answer(answer, _described(answer))


@command(schedules, "backfill")
def backfill_schedule(
    shell: Shell,
    schedule_id: ScheduleId,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From then on, e.g. 2030-01-31T00:00:00Z.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Until then.")],
) -> None:
    """Let a schedule fire for times that have passed."""
    with shell.api() as api:
        answer = api.schedules.backfill(schedule_id, start=start, end=end)
    shell.answer(answer, _described(answer))


def _described(found: Mapping[str, Any]) -> Iterator[str]:
    yield from in_columns((name, shown(value)) for name, value in found.items() if value not in (None, ""))
