"""Runs inside the sandbox, alone: sets limits, executes what it was given, sends back what became of it.

It is handed over as text to whatever Python 3 the system has, so it uses the standard library and nothing of ours. Code
that it executes may stop, kill or impersonate it: the host trusts none of its answers.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path("/work")
CODE = Path("/tmp/.code")  # noqa: S108 - the sandbox's own
RESULTS = Path("/tmp/.results")  # noqa: S108 - the sandbox's own
PROGRAMS = {
    "python": ["python3", "-I", "/run/perdure/run_python.py"],
    "js": ["node", "--max-old-space-size={node_megabytes}", "/run/perdure/run_js.js"],
    "bash": ["bash", str(CODE)],
}
MAX_RESULTS_BYTES = 16 * 1024 * 1024


def main() -> None:
    """Do the one job."""
    answers = os.fdopen(int(sys.argv[1]), "wb")
    answers.write(b"ready\n")
    answers.flush()
    head, _, contents = sys.stdin.buffer.read().partition(b"\n")
    job = json.loads(head)
    unpack(job["files"], contents)
    os.nice(15)
    said = execute(job)
    end_all_others()
    folder = collect(job["max_files"])
    listed = [[path, len(content)] for path, content in folder]
    answers.write(json.dumps({**said, "files": listed}).encode() + b"\n")
    for _, content in folder:
        answers.write(content)
    answers.close()


def execute(job: dict[str, Any]) -> dict[str, Any]:
    """Execute the setup commands and then the code; return what is said of them."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(FOLDER), "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108

    def run(command: Sequence[str]) -> int:
        # Its output goes where ours goes: to the host.
        return subprocess.run(  # noqa: S603 - what the sandbox is for
            command,
            cwd=FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: set_limits(job),
            check=False,
        ).returncode

    for number, command in enumerate(job["setup_commands"], 1):
        status = run(["bash", "-c", command])
        if status:
            return {"status": status, "setup_command": number}
    CODE.write_bytes(job["code"].encode(errors="surrogatepass"))
    program = [part.format(**job) for part in PROGRAMS[job["language"]]]
    try:
        return {"status": run(program), "results": read_results()}
    except FileNotFoundError:
        return {"status": 127, "missing": program[0]}


def set_limits(job: dict[str, Any]) -> None:
    """Set what each process may use up; it is inherited and cannot be raised again."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: job["memory_bytes"],
        resource.RLIMIT_NPROC: job["processes"],
        resource.RLIMIT_NOFILE: job["open_files"],
        resource.RLIMIT_FSIZE: job["folder_bytes"],
        resource.RLIMIT_CPU: int(job["cpu_seconds"]) + 1,
    }
    if job["language"] != "js":
        # Node reserves far more addresses than it uses.
        limits[resource.RLIMIT_AS] = 4 * job["memory_bytes"]
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def read_results() -> Any:
    """Return what the code's last expression shows."""
    if RESULTS.is_symlink() or not RESULTS.is_file() or RESULTS.stat().st_size > MAX_RESULTS_BYTES:
        return []
    try:
        return json.loads(RESULTS.read_bytes())
    except ValueError:
        return []


def end_all_others() -> None:
    """Kill whatever the code left running, so that nothing changes a file while it is read."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def unpack(files: Sequence[tuple[str, int]], contents: bytes) -> None:
    """Write the files of the working folder."""
    at = 0
    for path, size in files:
        target = FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents[at : at + size])
        at += size


def collect(max_files: int) -> list[tuple[str, bytes]]:
    """Return the regular files of the working folder. Links are left behind: they are not files of it."""
    found: list[tuple[str, bytes]] = []
    for parent, _, names in os.walk(FOLDER):
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and len(found) < max_files:
                found.append((str(path.relative_to(FOLDER)), path.read_bytes()))
    return found


if __name__ == "__main__":
    main()
