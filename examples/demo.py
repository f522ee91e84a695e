"""`make demo`: run every example on a stack of its own, and show what happens while it happens.

Everything goes over the REST API, as it would from any other program.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from examples.services import HOST, Services, run_services
from examples.stack import Stack, StackFailed, run_stack

FOLDER = Path(__file__).parent
USER = "demo@example.com"
TEXT = (
    "Durable execution means that a program goes on where it was when its process dies, "
    "on another machine if need be, without losing what it has done and without doing it twice."
)
PROVIDER_VARIABLES = ("OPENAI_API_KEY", "PERDURE_LLM_BASE_URL")
STATUS_COLOURS = {"COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow"}

console = Console(highlight=False, soft_wrap=True, markup=False)


@dataclass(frozen=True)
class Example:
    """A graph file and what to run it with."""

    file: str
    inputs: Mapping[str, Any]
    remark: str
    kills_worker: bool = False
    """Whether the worker is killed while a timer runs."""


def list_examples(services: Services) -> list[Example]:
    """Return what the demo runs, in order."""
    return [
        Example("summarize.json", {"text": TEXT}, "a language model in the middle"),
        Example("loop.json", {"amount": 1000, "goal": 2000}, "a loop over the graph's own links"),
        Example(
            "web_request.json",
            {"url": f"{services.weather_url}/bern"},
            "the service answers 503 at first, and the engine asks again",
        ),
        Example(
            "web_request.json",
            {"url": f"{services.weather_url}/atlantis"},
            "the service refuses, and the graph handles it",
        ),
        Example("countdown.json", {}, "the worker is killed while a timer runs", kills_worker=True),
    ]


def main() -> int:
    """Run the demo; return the exit code."""
    began = time.monotonic()
    try:
        with ExitStack() as cleanup:
            services = cleanup.enter_context(run_services())
            console.print("Starting Postgres, Temporal, a worker and the API …", style="dim")
            stack = cleanup.enter_context(run_stack(_settings(services)))
            console.print(f"API {stack.api_url}   Temporal Web UI {stack.temporal_ui_url}")
            failed = run_examples(stack, list_examples(services))
            if failed:
                console.print(f"\nThe server's last words:\n{stack.tail()}", style="dim")
    except StackFailed as problem:
        console.print(str(problem), style="red")
        return 1
    outcome = f"{failed} failed" if failed else "All as it should be"
    console.print(f"\n{outcome}, after {time.monotonic() - began:.0f} s. The stack is stopped.", style="bold")
    return 1 if failed else 0


def _settings(services: Services) -> dict[str, str]:
    """Return the server's settings: our stand-in is the language model unless the user has named one."""
    settings = {"PERDURE_ALLOWED_PRIVATE_HOSTS": HOST}
    if not any(os.environ.get(name) for name in PROVIDER_VARIABLES):
        return {**settings, "PERDURE_LLM_BASE_URL": services.llm_base_url}
    named = os.environ.get("PERDURE_LLM_BASE_URL")
    return {**settings, "PERDURE_LLM_BASE_URL": named} if named else settings


def run_examples(stack: Stack, examples: list[Example]) -> int:
    """Run the examples one after the other; return how many failed."""
    headers = {"Authorization": f"Bearer {stack.make_token(USER)}"}
    failed = 0
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30) as client:
        for example in examples:
            try:
                failed += not run_example(client, example, stack)
            except httpx.HTTPStatusError as error:
                console.print(f"{error}\n{error.response.text}", style="red")
                failed += 1
            except httpx.HTTPError as error:
                console.print(f"{type(error).__name__}: {error}", style="red")
                failed += 1
    return failed


def run_example(client: httpx.Client, example: Example, stack: Stack) -> bool:
    """Post a graph, execute it, follow it to its end; answer whether it completed."""
    document = json.loads((FOLDER / example.file).read_text())
    console.print(f"\n{document['name']} ({example.file}): {example.remark}", style="bold")
    graph = _post(client, "/api/graphs", document)
    execution = _post(client, f"/api/graphs/{graph['id']}/execute", {"inputs": dict(example.inputs)})
    names = {node["id"]: node["metadata"].get("title", node["id"]) for node in document["nodes"]}
    for event in follow(client, execution["id"]):
        console.print(f"  {describe(event, names)}", style="dim")
        if example.kills_worker and event["type"] == "node_waiting":
            time.sleep(0.3)  # the event is written a moment before Temporal knows of the timer
            console.print(
                f"       killed worker {stack.kill_workers()}; another one takes over", style="magenta"
            )
    answer = client.get(f"/api/executions/{execution['id']}")
    answer.raise_for_status()
    report(answer.json())
    return bool(answer.json()["status"] == "COMPLETED")


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def follow(client: httpx.Client, execution_id: str) -> Iterator[dict[str, Any]]:
    """Yield the events of an execution as they come; the server ends the stream after the last."""
    path = f"/api/executions/{execution_id}/events"
    with client.stream("GET", path, headers={"Accept": "text/event-stream"}) as stream:
        if stream.is_error:
            stream.read()
        stream.raise_for_status()
        for line in stream.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def describe(event: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return one line about an event."""
    data = event["data"]
    what = event["type"].replace("_", " ")
    if "node_id" not in data or not event["type"].startswith("node"):
        return f"{event['seq']:>3}  {what}"
    line = f"{event['seq']:>3}  {what}: {names.get(data['node_id'], data['node_id'])}"
    line += f" #{data['n']}" if data.get("n", 1) > 1 else ""
    error = data.get("error")
    return f"{line} ({error['message']})" if error else line


def report(execution: Mapping[str, Any]) -> None:
    """Print how an execution ended."""
    status, stats = execution["status"], execution["stats"]
    console.print(
        f"  {status} after {stats['duration']:.2f} s, {stats['node_executions']} node executions, "
        f"{stats['retries']} retries, cost {execution['cost']}",
        style=STATUS_COLOURS.get(status),
    )
    for name, values in execution["outputs"].items():
        console.print(f"  {name}: {', '.join(map(_shown, values))}")
    if execution["error"]:
        console.print(f"  {execution['error']['code']}: {execution['error']['message']}", style="red")
    console.print(f"  {execution['temporal']['web_url']}")


def _shown(value: Any) -> str:
    return json.dumps(round(value, 2) if isinstance(value, float) else value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
