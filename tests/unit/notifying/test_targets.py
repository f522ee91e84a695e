"""Where webhooks go and what signs them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.notifying.targets import WebhookTarget, make_secret


def test_a_former_secret_signs_beside_the_new_one_until_its_time_is_up() -> None:
    first = WebhookTarget("https://example.org/", make_secret())
    rotated = WebhookTarget.of(first.rotated().to_json())
    assert rotated.secrets == [rotated.secret, first.secret]
    assert rotated.secret != first.secret
    over = replace(rotated, former_until=datetime.now(UTC) - timedelta(seconds=1))
    assert over.secrets == [rotated.secret]
