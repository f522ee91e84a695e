from __future__ import annotations

import pytest
from pydantic import SecretStr

from app.roots import own_services
from app.settings.settings import Settings


@pytest.mark.parametrize(
    ("given", "services"),
    [
        (
            {"database_url": "postgresql://u:p@db.example/perdure", "temporal_address": "t.example:7233"},
            ("t.example:7233", "db.example:5432"),
        ),
        (
            {
                "database_url": "postgresql://u:p@[::1]:6000/perdure",
                "temporal_address": "t.example:1",
                "temporal_ui_url": "http://ui.example:8233/x",
                "redis_url": SecretStr("redis://:secret@r.example/0"),
            },
            ("t.example:1", "ui.example:8233", "::1:6000", "r.example:6379"),
        ),
        (
            {"database_url": "postgresql:///perdure?host=/run/pg", "temporal_address": "t.example:7233"},
            ("t.example:7233",),
        ),
    ],
)
def test_the_services_of_a_deployment_are_known_by_host_and_port(
    given: dict[str, object], services: tuple[str, ...]
) -> None:
    assert own_services(Settings(**given)) == services  # type: ignore[arg-type]  # checked by pydantic
