"""Opens a sandbox for code and tests it from inside before anybody uses it."""

from __future__ import annotations

import json
import os
import socket
import tempfile

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import CodeSandbox, Job, Language, Limits
from app.errors import BlockError, PerdureError, Severity

_TRIAL_SECONDS = 60.0
_HIDDEN = ("/etc/passwd", "/etc/hosts", "/home", "/root", "/var", "/sys")
_OWN_VARIABLES = {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "LC_CTYPE", "SHLVL", "_"}
_TRIAL = """
import os, socket

def reaches(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False

def may(call):
    try:
        call()
        return True
    except OSError:
        return False

found = []
found += ["a service of this machine can be reached"] if reaches({port}) else []
found += ["files of this machine can be seen"] if any(os.path.exists(path) for path in {paths}) else []
found += ["the environment of the worker can be seen"] if set(os.environ) - {names} else []
found += ["processes of this machine can be seen"] if os.path.exists("/proc/{pid}/cwd") and {pid} > 100 else []
found += ["files can be written outside of the working folder"] if may(lambda: open("/usr/perdure", "w")) else []
found += ["the user can be changed"] if may(lambda: os.setuid(0)) else []
found += ["system calls are not filtered"] if may(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)) else []
found
"""


class SandboxUnfit(PerdureError):
    """The sandbox for code cannot be used on this machine."""

    code = "SANDBOX_UNFIT"
    severity = Severity.CRITICAL


async def open_sandbox(*, limits: Limits | None = None) -> BubblewrapSandbox:
    """Return a sandbox that has shown that it holds.

    Raises:
        SandboxUnfit: It cannot be built here, or does not hold; the message says what is wrong.
    """
    try:
        sandbox = BubblewrapSandbox(limits=limits)
    except LookupError as error:
        raise SandboxUnfit(
            f"The sandbox for code is not offered on this kind of machine ({error})"
        ) from error
    try:
        await try_out(sandbox)
    except SandboxUnfit:
        sandbox.close()
        raise
    return sandbox


async def try_out(sandbox: CodeSandbox) -> None:
    """Execute code that looks for holes in the walls around it.

    Raises:
        SandboxUnfit: It found some, or cannot be executed; the message says what is wrong.
    """
    with socket.create_server(("127.0.0.1", 0)) as service, tempfile.NamedTemporaryFile() as file:
        trial = make_trial(port=service.getsockname()[1], path=file.name)
        try:
            outcome = await sandbox.run(Job(Language.PYTHON, trial, timeout_seconds=_TRIAL_SECONDS))
        except BlockError as error:
            raise SandboxUnfit(
                f"The sandbox for code does not work here ({error.message}). It needs bubblewrap 0.8 or newer, "
                "Python 3 below /usr and a kernel that lets users make namespaces"
            ) from error
    found = outcome.results[0].get("json") if outcome.results else None
    if found != []:
        raise SandboxUnfit(f"The sandbox for code does not hold here: {json.dumps(found)}")


def make_trial(*, port: int, path: str) -> str:
    """Return code whose last expression is a list of the holes it has found.

    Args:
        port: Of a service of this machine.
        path: Of a file of this machine.
    """
    return _TRIAL.format(port=port, paths=[path, *_HIDDEN], names=_OWN_VARIABLES, pid=os.getpid())
