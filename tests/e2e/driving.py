"""Every command about what starts executions by itself, and about who is told of them, with each of its options."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.webhooks import ECHO

if TYPE_CHECKING:
    from tests.e2e.test_every_command import Walk

FROM, TO = "2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z"
SECRET = "a secret of the sender's own"


def drive(walk: Walk, folder: Path, gone: str) -> None:
    """Run them.

    Args:
        walk: Runs a command.
        folder: For files.
        gone: Where nobody is any more, and says so.
    """
    file = folder / "echo.json"
    file.write_text(json.dumps({**ECHO, "name": "Echo"}))
    graph_id = walk("graphs push", str(file))["id"]
    preset_id = _presets(walk, graph_id)
    _schedules(walk, folder, graph_id, preset_id)
    _webhooks(walk, folder, graph_id, preset_id)
    _publications(walk, graph_id, preset_id)
    _notifications(walk, graph_id, gone)
    assert walk("presets delete", preset_id) == {"deleted": preset_id}
    walk("graphs delete", "Echo")


def _presets(walk: Walk, graph_id: str) -> str:
    named = ["--description", "why", "--version", "1"]
    preset = walk("presets create", "Echo", "one", "--input", "x=1", *named)
    assert _of(preset, "graph_id", "graph_version", "description", "inputs") == [graph_id, 1, "why", {"x": 1}]
    preset_id = str(preset["id"])
    assert walk("presets update", preset_id, "--name", "two", "--input", "x=2")["inputs"] == {"x": 2}
    assert [one["name"] for one in walk("presets list", "--graph", "Echo")] == ["two"]
    assert "two" in walk.told("presets get", preset_id)
    run = walk("presets run", preset_id, "--budget", "7")
    assert _of(run, "preset_id", "budget") == [preset_id, 7]
    return preset_id


def _schedules(walk: Walk, folder: Path, graph_id: str, preset_id: str) -> None:
    fields = folder / "fields.json"
    fields.write_text(json.dumps({"calendars": [{"hour": "9", "day_of_week": "MON"}], "name": "overruled"}))
    when = ["--cron", "0 9 * * 1-5", "--cron", "@daily", "--timezone", "Europe/Berlin", "--jitter", "1"]
    bounds = ["--start", FROM, "--end", "2099-01-01T00:00:00Z", "--times", "9", "--catchup", "60"]
    what = ["--preset", preset_id, "--version", "1", "--budget", "3", "--input", "x=3"]
    how = ["--name", "daily", "--overlap", "allow_all", "--pause-on-failure", "--fields", str(fields)]
    schedule = walk("schedules create", "Echo", *when, *bounds, *what, *how)
    schedule_id = schedule["id"]
    assert _of(schedule, "graph_id", "cron", "timezone") == [
        graph_id,
        ["0 9 * * 1-5", "@daily"],
        "Europe/Berlin",
    ]
    assert _of(schedule, "name", "overlap", "jitter", "catchup_window") == ["daily", "allow_all", 1, 60]
    assert _of(schedule, "pause_on_failure", "preset_id", "budget", "inputs") == [
        True,
        preset_id,
        3,
        {"x": 3},
    ]
    assert (schedule["remaining_actions"], len(schedule["calendars"])) == (9, 1)

    # Whose time it is in is for the account to say, unless it is asked for.
    walk("schedules update", schedule_id, "--cron", "0 9 * * *", "--go-on-after-failure", "--budget", "4")
    assert _of(walk("schedules get", schedule_id), "cron", "timezone", "budget") == [
        "0 9 * * *",
        "Europe/Berlin",
        4,
    ]
    assert walk("schedules pause", schedule_id, "--note", "a feast")["note"] == "a feast"
    assert "paused" in walk.told("schedules list", "--graph", "Echo")
    assert walk("schedules resume", schedule_id)["paused"] is False
    assert walk("schedules trigger", schedule_id, "--overlap", "skip")["id"] == schedule_id
    assert walk("schedules backfill", schedule_id, "--from", FROM, "--to", TO)["fires"] in (2, 3)
    assert "  next: " in walk.told("schedules get", schedule_id)
    assert walk("schedules delete", schedule_id) == {"deleted": schedule_id}


def _webhooks(walk: Walk, folder: Path, graph_id: str, preset_id: str) -> None:
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    named = ["--scheme", "token", "--into", "x", "--event", "order.*", "--body-type", "json", "--budget", "5"]
    webhook = walk(
        "webhooks create", "Echo", "shop", *named, "--preset", preset_id, "--version", "1", "--allow-wait"
    )
    webhook_id = webhook["id"]
    assert _of(webhook, "graph_id", "preset_id", "graph_version", "scheme") == [
        graph_id,
        preset_id,
        1,
        "token",
    ]
    assert _of(webhook, "input", "events", "budget", "allows_wait") == ["x", ["order.*"], 5, True]
    assert webhook["secret"]

    assert walk("webhooks rotate", webhook_id, "--secret-file", str(secret), "--former-valid-seconds", "0")
    sent = httpx.post(webhook["url"], headers={"X-Webhook-Token": SECRET}, json={"type": "order.paid"})
    assert sent.status_code == 200, sent.text
    (delivery,) = walk("webhooks deliveries", webhook_id)
    assert _of(delivery, "event", "outcome") == ["order.paid", "started"]
    assert walk("webhooks update", webhook_id, "--off", "--no-wait", "--event", "x")["is_active"] is False
    assert "  off" in walk.told("webhooks list", "--graph", "Echo")
    assert "shop  off" in walk.told("webhooks get", webhook_id)
    assert walk("webhooks delete", webhook_id) == {"deleted": webhook_id}


def _publications(walk: Walk, graph_id: str, preset_id: str) -> None:
    named = [
        "--description",
        "Gives back.",
        "--version",
        "1",
        "--preset",
        preset_id,
        "--budget",
        "6",
        "--tool",
    ]
    published = walk("publications publish", "Echo", "echo", *named)
    assert _of(published, "graph_id", "slug", "preset_id", "budget", "is_tool") == [
        graph_id,
        "echo",
        preset_id,
        6,
        True,
    ]
    assert "Gives back." in walk.told("publications get", "Echo")
    assert "echo" in walk.told("publications list")
    run = walk("publications call", "echo", "--input", "x=4", "--budget", "2", "--timeout", "60")
    assert _of(run, "status", "outputs") == ["COMPLETED", {"y": [4]}]
    assert walk("publications withdraw", "Echo") == {"withdrawn": graph_id}


def _notifications(walk: Walk, graph_id: str, gone: str) -> None:
    named = ["--event", "execution.failed", "--event", "review.requested", "--graph", "Echo", "--outputs"]
    notification = walk("notifications create", "ops", "--url", gone, *named)
    notification_id = notification["id"]
    assert _of(notification, "channel", "graph_id", "includes_outputs") == ["webhook", graph_id, True]
    assert walk("notifications rotate", notification_id)["secret"] != notification["secret"]
    delivery_id = walk("notifications test", notification_id)["id"]

    deadline = time.monotonic() + 60
    while not (given_up := walk("notifications deliveries", notification_id, "--status", "failed")):
        assert time.monotonic() < deadline
    assert [one["id"] for one in given_up] == [delivery_id]
    assert "off: GONE" in walk.told("notifications list")
    again = walk("notifications update", notification_id, "--on", "--no-outputs", "--event", "credits.low")
    assert _of(again, "is_active", "events", "disabled_for") == [True, ["credits.low"], None]
    assert walk("notifications redeliver", delivery_id)["status"] == "pending"
    assert "credits.low" in walk.told("notifications get", notification_id)
    assert walk("notifications delete", notification_id) == {"deleted": notification_id}


def _of(document: dict[str, Any], *names: str) -> list[Any]:
    return [document[name] for name in names]
