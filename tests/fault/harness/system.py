"""The system under test: Postgres, Temporal, two API processes and two workers, joined by links that can fail."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import make_url

from app.embedded.ports import choose_port
from tests.fault.harness.answers import date_answers
from tests.fault.harness.effects import World
from tests.fault.harness.models import Model
from tests.fault.harness.proxy import Link, Streams
from tests.processes import ServerProcess, WorkerProcess, worker_environment
from tests.stack import Stack

WORKERS = 2
APIS = 2
HEARTBEAT_SECONDS = 3
EVENTS_PER_RUN = (3_000, 50)
"""By API: what the second one starts hands over from run to run."""
JWT_SECRET = "a secret of the fault suite that is long enough for HS256"
LINKS = ("api-postgres", "worker-postgres", "api-temporal", "worker-temporal", "worker-web", "worker-model")


class System:
    """Everything that may die, by name."""

    def __init__(
        self, folder: Path, stack: Stack, world: World, model: Model, links: dict[str, Link]
    ) -> None:
        """Take what runs already; `start` starts the rest."""
        self.folder = folder
        self.stack = stack
        self.world = world
        self.model = model
        self.links = links
        self.is_evidence = False
        """Whether something was broken, so that the folder is worth keeping."""
        self.api_ports = [choose_port("127.0.0.1", 0, setting="") for _ in range(APIS)]
        self.workers: list[WorkerProcess] = []
        self._worker_names = itertools.count(1)
        self.apis: list[ServerProcess] = []

    @property
    def web_url(self) -> str:
        """Where blocks find the world."""
        return f"http://127.0.0.1:{self.links['worker-web'].port}"

    @property
    def api_urls(self) -> list[str]:
        """Where clients find the APIs."""
        return [f"http://127.0.0.1:{port}" for port in self.api_ports]

    async def start(self) -> None:
        """Start the APIs and the workers."""
        self.apis = [self._make_api(number) for number in range(APIS)]
        self.workers = [self._make_worker() for _ in range(WORKERS)]
        await self.ready()

    async def ready(self) -> None:
        """Wait until all of them take work."""
        await asyncio.gather(
            *(worker.ready() for worker in self.workers), *(api.ready() for api in self.apis)
        )

    def restart_worker(self, number: int) -> None:
        """Start another worker in the place of a dead one."""
        self.workers[number] = self._make_worker()

    def restart_api(self, number: int) -> None:
        """Start another API in the place of a dead one, on its port."""
        self.apis[number] = self._make_api(number)

    def end(self) -> None:
        """Kill what `start` has started."""
        for program in [*self.workers, *self.apis]:
            program.kill()

    def _settings(self, side: str) -> dict[str, str]:
        settings = worker_environment(
            self.stack, task_queue="faults", database_url=self._database_url(f"{side}-postgres")
        )
        settings["PERDURE_TEMPORAL_ADDRESS"] = f"127.0.0.1:{self.links[f'{side}-temporal'].port}"
        return settings

    def _database_url(self, link: str) -> str:
        url = make_url(self.stack.database_url).set(host="127.0.0.1", port=self.links[link].port, query={})
        return url.render_as_string(hide_password=False)

    def _make_worker(self) -> WorkerProcess:
        own = {
            "PERDURE_LLM_BASE_URL": f"http://127.0.0.1:{self.links['worker-model'].port}/v1",
            # By its key the model knows each process.
            "PERDURE_OPENAI_API_KEY": f"worker{next(self._worker_names)}",
        }
        return WorkerProcess(self.folder / "workers", self._settings("worker") | own)

    def _make_api(self, number: int) -> ServerProcess:
        own = {
            "PERDURE_PORT": str(self.api_ports[number]),
            "PERDURE_JWT_SECRET": JWT_SECRET,
            "PERDURE_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "PERDURE_EVENTS_PER_RUN": str(EVENTS_PER_RUN[number]),
            "PERDURE_INITIAL_CREDITS": "1000000",
            "PERDURE_RATE_LIMIT": "1000000/minute",
        }
        return ServerProcess(self.folder / f"api{number}", self._settings("api") | own)


@asynccontextmanager
async def run_system(folder: Path) -> AsyncIterator[System]:
    """Run everything, its logs and data in a folder."""
    async with contextlib.AsyncExitStack() as running:
        stack = await running.enter_async_context(Stack(folder / "stack"))
        await date_answers(stack)
        world = await running.enter_async_context(World())
        model = await running.enter_async_context(Model(world.arrive))
        ways = {
            "postgres": lambda: asyncio.open_unix_connection(_postgres_socket(stack)),
            "temporal": lambda: _open_tcp(*stack.temporal_address.split(":")),
            "web": lambda: _open_tcp("127.0.0.1", str(world.port)),
            "model": lambda: _open_tcp("127.0.0.1", str(model.port)),
        }
        links = {
            name: await running.enter_async_context(Link(name, ways[name.partition("-")[2]]))
            for name in LINKS
        }
        system = System(folder, stack, world, model, links)
        running.callback(system.end)
        await system.start()
        yield system


def _postgres_socket(stack: Stack) -> str:
    folder = parse_qs(urlsplit(stack.database_url).query)["host"][0]
    return f"{folder}/.s.PGSQL.5432"


async def _open_tcp(host: str, port: str) -> Streams:
    return await asyncio.open_connection(host, int(port))
