"""`python -m tests.screenshot`: draws `docs/images/follow.svg`, an execution as `perdure run --follow` shows it.

The stack, the execution and the view are real. The service that is asked answers 503 at first.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from app.cli.following import described
from app.cli.progress import Progress
from app.cli.views import LiveView
from examples.services import HOST, run_services
from examples.stack import run_stack
from perdure import Client

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "follow.svg"
COLUMNS, ROWS = 110, 24
PLACE = "bern"


def draw() -> str:
    """Return the picture of an execution while an attempt has failed, and of its end."""
    console = Console(
        record=True, file=io.StringIO(), force_terminal=True, width=COLUMNS, height=ROWS, highlight=False
    )
    with (
        run_services() as services,
        run_stack({"PERDURE_ALLOWED_PRIVATE_HOSTS": HOST}) as stack,
        Client(stack.api_url, stack.make_token("you@example.com")) as api,
    ):
        graph = api.graphs.create(json.loads((ROOT / "examples" / "web_request.json").read_text()))
        execution = api.executions.start(graph["id"], {"url": f"{services.weather_url}/{PLACE}"})
        progress = Progress(graph)
        view = LiveView(progress, console, execution["id"])
        console.print(Text('$ perdure run "Weather report" --input url=… --follow', style="bold green"))
        for event in api.executions.events(execution["id"]):
            progress.take(event)
            if event["type"] == "node_retrying":
                console.print(view.draw())
                console.print(Text("\n… a second later:\n", style="dim"))
        console.print(view.draw())
        for line in described(api.executions.get(execution["id"])):
            console.print(Text(line))
    picture = console.export_svg(title="perdure run --follow", unique_id="follow")
    # The reader's own font: a picture asks no server for one.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
