"""`perdure executions`: looked at, watched, steered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.following import described, follow, starting
from app.cli.given import ExecutionId, Given, InputsFile, Limit, find_graph, read_inputs
from app.cli.run import Follow
from app.cli.shell import Shell, command
from app.cli.texts import in_columns, outputs_of

if TYPE_CHECKING:
    from perdure.types import Execution, NodeExecution

executions = typer.Typer(help="Executions of yours.", no_args_is_help=True)

StatusName = Annotated[str | None, typer.Option(help="Only those of this status, e.g. FAILED.")]


@command(executions, "list")
def list_executions(
    shell: Shell,
    graph: Annotated[str | None, typer.Option(metavar="GRAPH", help="Only those of this graph.")] = None,
    status: StatusName = None,
    trigger: Annotated[
        str | None, typer.Option(help="Only those that this has started, e.g. schedule.")
    ] = None,
    limit: Limit = 20,
) -> None:
    """List your executions, newest first."""
    with shell.api() as api:
        graph_id = None if graph is None else find_graph(api, graph)
        wanted = api.executions.list(
            graph_id=graph_id, status=status, trigger=trigger, limit=limit, refs=True
        )
        found = list(wanted)
    shell.answer(found, in_columns(map(_row_of, found)))


@command(executions, "get")
def get_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Show how an execution stands."""
    with shell.api() as api:
        execution = api.executions.get(execution_id, refs=True)
    shell.answer(execution, described(execution))


@command(executions, "watch")
def watch_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Show what happens in an execution until it has ended; ends as `run --follow` does."""
    with shell.api() as api:
        follow(shell, api, api.executions.get(execution_id, refs=True))


@command(executions, "results")
def show_results(shell: Shell, execution_id: ExecutionId) -> None:
    """Print what came out of an execution that has ended."""
    with shell.api() as api:
        results = api.executions.results(execution_id)
    error = results["error"]
    lines = [results["status"], *outputs_of(results["outputs"])]
    shell.answer(results, [*lines, f"{error['code']}: {error['message']}"] if error else lines)


@command(executions, "nodes")
def list_nodes(
    shell: Shell,
    execution_id: ExecutionId,
    node_id: Annotated[
        str | None, typer.Option("--node", metavar="ID", help="Only those of this node.")
    ] = None,
    status: StatusName = None,
    limit: Limit = 200,
) -> None:
    """List the node executions of an execution, in the order in which something last happened to them."""
    with shell.api() as api:
        wanted = api.executions.nodes(execution_id, node_id=node_id, status=status, limit=limit, refs=True)
        found = list(wanted)
    shell.answer(found, in_columns(map(_node_row_of, found)))


@command(executions, "stop")
def stop_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Stop an execution. One that has ended stays as it is."""
    with shell.api() as api:
        execution = api.executions.stop(execution_id)
    shell.answer(execution, _standing(execution))


@command(executions, "pause")
def pause_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Start no further node of an execution."""
    with shell.api() as api:
        execution = api.executions.pause(execution_id)
    shell.answer(execution, _standing(execution))


@command(executions, "resume")
def resume_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Go on where an execution was paused."""
    with shell.api() as api:
        execution = api.executions.resume(execution_id)
    shell.answer(execution, _standing(execution))


@command(executions, "rerun")
def rerun_execution(
    shell: Shell,
    execution_id: ExecutionId,
    from_nodes: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="NODE", help="Execute this node and what follows again; repeatable."),
    ] = None,
    given: Given = None,
    inputs: InputsFile = None,
    is_confirmed: Annotated[
        bool, typer.Option("--confirm", help="Also nodes that change something in the world a second time.")
    ] = False,
    is_followed: Follow = False,
) -> None:
    """Run an execution that has ended again, as a new one: from what failed, unless nodes are named."""
    values = read_inputs(inputs, given)
    with shell.api() as api:
        with starting():
            execution = api.executions.rerun(
                execution_id, from_nodes=from_nodes or None, inputs=values or None, confirm=is_confirmed
            )
        if is_followed:
            follow(shell, api, execution)
    shell.answer(execution, _standing(execution))


@command(executions, "delete")
def delete_execution(shell: Shell, execution_id: ExecutionId) -> None:
    """Delete the record of an execution that has ended."""
    with shell.api() as api:
        api.executions.delete(execution_id)
    shell.answer({"deleted": execution_id}, [f"{execution_id}  deleted"])


def _standing(execution: Execution) -> Iterator[str]:
    yield f"{execution['id']}  {execution['status']}"


def _row_of(execution: Execution) -> tuple[object, ...]:
    cost = f"{execution['cost']} credits"
    duration = f"{execution['stats']['duration']:.1f} s"
    return (
        execution["id"],
        execution["status"],
        execution["trigger"],
        execution["created_at"],
        duration,
        cost,
        f"{execution['graph_id']} (version {execution['graph_version']})",
    )


def _node_row_of(row: NodeExecution) -> tuple[object, ...]:
    attempt = f"attempt {row['attempt']}" if row["attempt"] > 1 else ""
    took = "" if row["execution_time"] is None else f"{row['execution_time']:.2f} s"
    error = row["error"] or {}
    return row["node_id"], row["status"], attempt, took, f"{row['cost']} credits", error.get("message", "")
