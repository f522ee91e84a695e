"""What is seen of an execution that is followed: JSON lines, plain lines, or a tree that is drawn anew all the time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from app.cli.progress import NodeProgress, Progress
from app.cli.texts import harmless, one_line

if TYPE_CHECKING:
    from perdure.types import Event

REFRESHES_PER_SECOND = 8
WIDEST_NOTE = 60
WIDEST_TITLE = 40
NARROW = 90
"""Columns below which there is no room for a bar and a whole id."""
NARROW_TITLE = 9
WIDEST_LINE = 500
TEXT_LINES = 3
FRAME_LINES = 4
"""Lines that are not nodes: what stands above and below them."""
MARKS = {
    "COMPLETED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "CANCELLED": ("■", "yellow"),
    "SKIPPED": ("-", "dim"),
    "REUSED": ("✓", "dim"),
    "RETRYING": ("↻", "yellow"),
    "WAITING": ("…", "cyan"),
}


class View(Protocol):
    """Shows what happens."""

    def begin(self) -> None:
        """Begin, or go on after a question."""

    def end(self) -> None:
        """Leave the terminal as it was."""

    def take(self, event: Event) -> None:
        """Show that something has happened; the progress knows of it already."""


class JsonView:
    """One event a line."""

    def begin(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def take(self, event: Event) -> None:
        """Print it."""
        print(json.dumps(event), flush=True)


class PlainView:
    """One line about each event, for files and for programs that read along."""

    def __init__(self, progress: Progress) -> None:
        """Take whose nodes have titles."""
        self._progress = progress

    def begin(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def take(self, event: Event) -> None:
        """Print a line, unless it is a piece of text."""
        data = event["data"]
        if event["seq"] is None:
            return
        line = f"{event['seq']}  {event['type'].replace('_', ' ')}"
        if node := self._progress.nodes.get(str(data.get("node_id"))):
            line += f": {node.title}"
            line += f" #{data['n']}" if data.get("n", 1) > 1 else ""
            line += f" (attempt {data['attempt']})" if data.get("attempt", 1) > 1 else ""
        error = data.get("error") or {}
        line += f": {error['message']}" if error.get("message") else ""
        line += f" ({data['reason']})" if data.get("reason") else ""
        print(one_line(line, WIDEST_LINE), flush=True)


class LiveView:
    """The nodes as a tree, with what they are at."""

    def __init__(self, progress: Progress, console: Console, title: str) -> None:
        """Take what is shown, and where."""
        self._progress = progress
        self._console = console
        self._title = title
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    def begin(self) -> None:
        """Begin to draw."""
        self._live = Live(
            get_renderable=self.draw, console=self._console, refresh_per_second=REFRESHES_PER_SECOND
        )
        self._live.start()

    def end(self) -> None:
        """Draw for the last time, and leave it there."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def take(self, event: Event) -> None:
        """Do nothing: it is drawn anew all the time."""

    def draw(self) -> RenderableType:
        """Return what is seen now."""
        progress = self._progress
        room = self._console.size.height - FRAME_LINES
        chosen = progress.choose(room)
        table = Table.grid(padding=(0, 1), expand=False)
        for _ in range(5):
            table.add_column(no_wrap=True)
        # The last one gives way first, since as a column it may be broken; its text is cut off.
        table.add_column()
        left = room - len(chosen)
        parts: list[RenderableType] = [self._heading(), table]
        for node in chosen:
            table.add_row(*self._row(node))
        for node in chosen:
            if node.text and node.is_open and left > TEXT_LINES:
                parts.append(Padding(_writing(node, self._console.width), (0, 0, 0, 4)))
                left -= TEXT_LINES + 1
        if hidden := len(progress.nodes) - len(chosen):
            parts.append(Text(f"… and {hidden} more nodes", style="dim"))
        return Group(*parts)

    def _heading(self) -> RenderableType:
        progress = self._progress
        line = Table.grid(padding=(0, 1))
        is_narrow = self._console.width < NARROW
        for _ in range(2 if is_narrow else 3):
            line.add_column(no_wrap=True)
        line.add_column()
        # At the end, what was never needed is not missing.
        total = progress.begun if progress.is_over else len(progress.nodes)
        bar = ProgressBar(total=max(total, 1), completed=progress.done, width=20)
        counts = f"{progress.done}/{total} nodes"
        cost = f"{progress.cost} credits" if progress.cost else ""
        line.add_row(
            Text(one_line(self._title, NARROW_TITLE if is_narrow else WIDEST_NOTE), style="bold"),
            *([] if is_narrow else [bar]),
            counts,
            _cut_off(f"{progress.status} {progress.reason}  {cost}", "bold"),
        )
        return line

    def _row(self, node: NodeProgress) -> list[RenderableType]:
        mark, style = MARKS.get(node.status, (" ", "dim"))
        shown: RenderableType = self._spinner if node.status == "RUNNING" else Text(mark, style=style)
        title = "  " * node.depth + one_line(node.title, min(WIDEST_TITLE, self._console.width // 2))
        times = f"{node.ended} times" if node.ended > 1 else ""
        attempt = f"attempt {node.attempt}" if node.attempt > 1 else ""
        effort = " ".join(
            part
            for part in (
                f"{node.seconds:.1f} s" if node.ended else "",
                f"{node.cost} cr" if node.cost else "",
            )
            if part
        )
        return [
            shown,
            Text(title, style="" if node.status else "dim"),
            Text(times, style="dim"),
            Text(attempt, style="yellow"),
            Text(effort, style="dim"),
            _cut_off(node.note, "red" if node.status == "FAILED" else "dim"),
        ]


def _cut_off(text: str, style: str) -> Text:
    """Return a text that ends where there is no more room."""
    return Text(one_line(text, WIDEST_NOTE), style=style, no_wrap=True, overflow="ellipsis")


def _writing(node: NodeProgress, width: int) -> Text:
    """Return the last lines of what a model is writing."""
    text = " ".join(harmless(node.text).split())
    room = max((width - 8) * TEXT_LINES, 1)
    return Text(text[-room:], style="italic cyan")
