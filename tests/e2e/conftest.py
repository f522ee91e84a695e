"""A second server beside the one with nothing set: everything that can be set is, so that no test starts its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.object_storage import URL, S3Server, run_s3_server
from tests.packages import NAME, install_package
from tests.processes import ServerProcess
from tests.stubs import LanguageModelStub, SearchStub
from tests.unit.blocks.stub_server import Answer, StubServer, running_server
from tests.walls import can_build_walls

TURNED_OFF = "text_replace_block"


@dataclass(frozen=True)
class Surroundings:
    """A server and what its blocks talk to."""

    server: ServerProcess
    language_model: LanguageModelStub
    search: SearchStub
    encyclopedia: StubServer
    s3: S3Server
    collector: StubServer
    """Of traces."""


@pytest.fixture(scope="session")
async def surroundings(session_folder: Path) -> AsyncIterator[Surroundings]:
    """A server with services, a bucket for large values, a package, a block turned off, and code turned on."""
    async with (
        LanguageModelStub() as language_model,
        SearchStub() as search,
        running_server() as encyclopedia,
        run_s3_server(session_folder / "s3.log") as s3,
        running_server() as collector,
    ):
        collector.answers["/v1/traces"] = Answer()
        settings = {
            "PERDURE_LLM_BASE_URL": language_model.url,
            "PERDURE_SEARCH_URL": search.url,
            "PERDURE_WIKIPEDIA_URL": encyclopedia.url,
            "PERDURE_VALUE_STORE": URL,
            **s3.environment,
            "PYTHONPATH": str(install_package(session_folder / "package")),
            "PERDURE_BLOCK_PACKAGES": NAME,
            "PERDURE_DISABLED_BLOCKS": TURNED_OFF,
            "PERDURE_CODE_SANDBOX": "bubblewrap" if can_build_walls() else "",
            "PERDURE_METRICS_OPEN": "true",
            "PERDURE_WORKER_METRICS_PORT": "0",
            "PERDURE_OTLP_ENDPOINT": collector.url,
            # How often traces are sent, in milliseconds: a setting of OpenTelemetry.
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            # With these FastAPI would tell of paths, queries and messages, were it let.
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        # Its package has to be found by a new interpreter, as do the settings of others' libraries.
        server = await ServerProcess(session_folder / "equipped", settings, is_cold=True).ready()
        yield Surroundings(server, language_model, search, encyclopedia, s3, collector)
        assert await server.stop() == 0


@pytest.fixture
def equipped(surroundings: Surroundings) -> ServerProcess:
    """The server with everything set; tests tell themselves apart by user."""
    return surroundings.server


@pytest.fixture
def model(surroundings: Surroundings) -> LanguageModelStub:
    """Its language model, which has not been asked anything yet."""
    surroundings.language_model.requests.clear()
    surroundings.language_model.recover()
    return surroundings.language_model
