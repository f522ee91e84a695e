"""How far an execution has come, put together from its events."""

from __future__ import annotations

import io
from typing import Any, cast

from rich.console import Console

from app.cli.progress import Progress
from app.cli.texts import harmless, in_columns, one_line
from app.cli.views import LiveView
from perdure.types import Event, Graph

AT = "2026-01-01T00:00:{:02}Z"


def a_graph(*links: str, nodes: str = "abcd") -> Graph:
    ends = [link.split(">") for link in links]
    return cast(
        Graph,
        {
            "nodes": [{"id": name, "metadata": {}} for name in nodes],
            "links": [{"source_id": source, "sink_id": sink} for source, sink in ends],
        },
    )


def event(seq: int, type: str, node: str = "a", **data: Any) -> Event:
    told = {"node_id": node, "node_execution_id": f"{node}1", "n": 1, "attempt": 1, **data}
    return Event(seq=seq, type=type, data=told, at=AT.format(seq))


def test_branches_stand_below_what_they_follow_and_chains_do_not() -> None:
    diamond = Progress(a_graph("a>b", "a>c", "b>d", "c>d"))
    assert [(node.id, node.depth) for node in diamond.nodes.values()] == [
        ("a", 0),
        ("b", 1),
        ("d", 1),
        ("c", 1),
    ]
    loop = Progress(a_graph("a>b", "b>c", "c>a", "d>d"))
    assert [(node.id, node.depth) for node in loop.nodes.values()] == [
        ("d", 0),
        ("a", 0),
        ("b", 0),
        ("c", 0),
    ]


def test_attempts_failures_and_times_are_told_by_node() -> None:
    progress = Progress(a_graph())
    progress.take(event(1, "node_started"))
    progress.take(event(2, "node_retrying", error={"code": "X", "message": "503"}))
    node = progress.nodes["a"]
    assert (node.status, node.note, node.is_open) == ("RETRYING", "503", True)
    progress.take(event(3, "node_started", attempt=2))
    progress.take(event(5, "node_completed", attempt=2))
    assert (node.status, node.note, node.attempt, node.seconds) == ("COMPLETED", "", 2, 4.0)
    assert (progress.begun, progress.done, progress.seq) == (1, 1, 5)


def test_a_node_that_still_works_elsewhere_is_not_done() -> None:
    progress = Progress(a_graph())
    progress.take(event(1, "node_started"))
    progress.take(event(2, "node_started", node_execution_id="a2", n=2))
    progress.take(event(3, "node_completed"))
    assert progress.nodes["a"].status == "RUNNING"
    assert progress.done == 0


def test_what_a_rerun_has_taken_over_is_done() -> None:
    progress = Progress(a_graph())
    progress.take(event(1, "execution_reused", nodes={"a": 2, "b": 1}))
    assert (progress.nodes["a"].status, progress.done) == ("REUSED", 2)


def test_a_pause_that_nobody_asked_for_says_why() -> None:
    progress = Progress(a_graph())
    progress.take(event(1, "execution_paused", status="PAUSED", reason="INSUFFICIENT_CREDITS"))
    assert (progress.status, progress.reason) == ("PAUSED", "INSUFFICIENT_CREDITS")
    progress.take(event(2, "execution_resumed", status="RUNNING"))
    assert (progress.status, progress.reason) == ("RUNNING", "")


def test_what_matters_now_is_shown_when_there_is_no_room_for_all() -> None:
    progress = Progress(a_graph())
    progress.take(event(1, "node_completed", "a"))
    progress.take(event(2, "node_failed", "c"))
    progress.take(event(3, "node_started", "d"))
    assert [node.id for node in progress.choose(2)] == ["c", "d"]
    assert [node.id for node in progress.choose(4)] == ["a", "b", "c", "d"]


def test_what_a_model_writes_is_kept_until_the_next_attempt() -> None:
    progress = Progress(a_graph())
    for text in ("one ", "two"):
        progress.take(Event(seq=None, type="token", data={"node_id": "a", "text": text}, at=None))
    assert progress.nodes["a"].text == "one two"
    progress.take(event(1, "node_started"))
    assert progress.nodes["a"].text == ""


def test_what_strangers_wrote_cannot_steer_the_terminal() -> None:
    assert harmless("a\x1b[2J\x07\x9bb\r\n\tc") == "a\ufffd[2J\ufffd\ufffdb\ufffd\n\tc"
    assert harmless("gpj.\u202egnp.exe\u2028") == "gpj.\ufffdgnp.exe\ufffd"
    assert one_line("a\n b\x1b", 4) == "a b\ufffd"
    assert list(in_columns([("a", "long"), ("longer", None)])) == ["a       long", "longer"]


def test_a_narrow_terminal_shows_how_far_it_is_and_what_is_at_work() -> None:
    titled = a_graph(nodes="abcdefghijklmnop")
    for node in titled["nodes"]:
        node["metadata"]["title"] = f"{node['id']} with a title that goes on and on"
    progress = Progress(titled)
    progress.take(event(1, "node_completed"))
    progress.take(event(2, "node_failed", "c", error={"message": "\x1b[2J" * 30}))
    progress.status = "PAUSED"
    console = Console(file=io.StringIO(), width=40, height=8, force_terminal=True, color_system=None)
    console.print(LiveView(progress, console, "78905280-83ba-547d-b3e3-58db694ea5aa").draw())
    lines = cast(io.StringIO, console.file).getvalue().splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["78905280…", "2/16"], ["✓", "a"], ["b", "with"]]
    assert "PAUSED" in lines[0]
    assert lines[3].startswith("✗ c with a title")
    assert len(lines) <= 8
    assert not any("\x1b" in line for line in lines)
