"""What tests of all kinds share: one stack and at most one server per test process, workers and stand-in services."""

from __future__ import annotations

import contextlib
import gc
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import structlog
from hypothesis import settings
from temporalio.client import Client
from xdist.remote import Producer

from tests.distribution import Dealing, place_of
from tests.engine import Engine, make_engine
from tests.processes import ServerProcess, WorkerProcess, worker_environment
from tests.stack import Stack, run_stack
from tests.stubs import LanguageModelStub, WebStub

# What is made while tests are collected stays: a search for garbage in it takes a third of the time, and finds nothing.
gc.disable()

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("perdure", deadline=None)
settings.load_profile("perdure")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Let the search for garbage begin, in what tests make."""
    gc.freeze()
    gc.enable()


# The default prints every local variable of a traceback, which takes seconds where an engine is among them.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Dealing | None:
    """Deal out by file, and by file alone: `--no-loadscope-reorder` keeps the order of the items."""
    return Dealing(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first."""
    items.sort(key=lambda item: place_of(item.path))


def _make_folder() -> Path:
    # Not pytest's own folders: their long names leave no room for a socket's, and other users may not enter them.
    return Path(tempfile.mkdtemp(prefix="perdure-test-"))


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A short-named folder for what lives as long as the session."""
    folder = _make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A short-named folder for one test, where a stack can keep its socket."""
    folder = _make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def stack(session_folder: Path) -> AsyncIterator[Stack]:
    """A real Postgres and a real Temporal. A test that kills one of them starts it again."""
    async with run_stack(session_folder / "stack") as running:
        yield running


@pytest.fixture(scope="session")
async def client(stack: Stack) -> Client:
    """A client of the stack's Temporal."""
    return await stack.connect()


@pytest.fixture(scope="session")
def database_url(stack: Stack) -> str:
    """The migrated database that all tests share; a test tells its rows apart by owner."""
    return stack.database_url


@pytest.fixture
async def own_database_url(stack: Stack) -> str:
    """A migrated database of the test's own."""
    return await stack.make_database()


@pytest.fixture
async def engine(client: Client, database_url: str) -> AsyncIterator[Engine]:
    """The engine without its REST layer, with a worker in this process."""
    async with make_engine(client, database_url) as running:
        yield running


@pytest.fixture
def task_queue() -> str:
    """A task queue that no other test uses."""
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def worker_process(
    stack: Stack, task_queue: str, short_folder: Path
) -> Iterator[Callable[..., WorkerProcess]]:
    """Start worker processes on the test's task queue: `worker_process(*arguments, SETTING="value")`."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, **settings: str) -> WorkerProcess:
        environment = worker_environment(stack, task_queue=task_queue)
        environment |= {f"PERDURE_{name}": value for name, value in settings.items()}
        started.append(WorkerProcess(short_folder, environment, *arguments))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="session")
async def server(session_folder: Path) -> AsyncIterator[ServerProcess]:
    """A real `python server.py` with everything embedded; tests tell themselves apart by user."""
    running = await ServerProcess(session_folder / "server", is_cold=True).ready()
    yield running
    assert await running.stop() == 0


@pytest.fixture
def server_process(short_folder: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers of the test's own: `server_process(home, SETTING="value")`; each on free ports."""
    started: list[ServerProcess] = []

    def start(
        home: Path | None = None, environment: Mapping[str, str] | None = None, **settings: str
    ) -> ServerProcess:
        environment = {
            **(environment or {}),
            **{f"PERDURE_{name}": value for name, value in settings.items()},
        }
        started.append(ServerProcess(home or short_folder / "home", environment))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            family = server.family()
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            server.process.wait()


@pytest.fixture
async def language_model() -> AsyncIterator[LanguageModelStub]:
    """An OpenAI-compatible server that does what the test says."""
    async with LanguageModelStub() as stub:
        yield stub


@pytest.fixture
async def web() -> AsyncIterator[WebStub]:
    """A web server that echoes, delays, fails and counts."""
    async with WebStub() as stub:
        yield stub
