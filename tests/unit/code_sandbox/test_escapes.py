"""Attempts to break out, or to take the machine down. Collected only where the walls can be built (conftest.py)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.jobs import Job, Language
from app.errors import BlockError
from app.outbound.addresses import is_public
from tests.unit.code_sandbox.running import python

ROOT = Path(__file__).resolve().parents[3]


async def tell(sandbox: BubblewrapSandbox, expression: str, setup: str = "import os, socket") -> object:
    """Return the value of an expression, or the name of the error that it raises."""
    code = f"""
{setup}
def tried():
    try:
        return {expression}
    except BaseException as error:
        return type(error).__name__
[tried()]
"""
    return (await python(sandbox, code)).results[0]["json"][0]


# What can be seen


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/root",
        "/home",
        "/var",
        "/sys",
        "/boot",
        "/run/docker.sock",
        "/run/secrets",
        "/proc/1/root/etc/passwd",
        "/proc/1/root/root",
        "/proc/self/root/etc/passwd",
        "/dev/sda",
        "/dev/mem",
        "/dev/kvm",
        "/dev/fuse",
        str(ROOT),
        str(Path.home()),
    ],
)
async def test_files_of_the_machine_are_not_there(sandbox: BubblewrapSandbox, path: str) -> None:
    assert await tell(sandbox, f"os.path.lexists({path!r})") is False


async def test_a_file_of_the_machine_is_not_there_whoever_may_read_it(
    sandbox: BubblewrapSandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    secret.chmod(0o644)
    assert await tell(sandbox, f"open({str(secret)!r}).read()") == "FileNotFoundError"


async def test_the_environment_of_the_worker_is_not_there(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_CANARY", "canary")
    seen = (await sandbox.run(Job(Language.BASH, "env; cat /proc/*/environ | tr '\\0' '\\n'"))).stdout
    assert "canary" not in seen
    assert {line.partition("=")[0] for line in seen.splitlines()} <= {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "PWD",
        "LC_CTYPE",
        "SHLVL",
        "_",
    }


async def test_processes_of_the_machine_are_not_there(sandbox: BubblewrapSandbox) -> None:
    pids = await tell(sandbox, "sorted(int(name) for name in os.listdir('/proc') if name.isdigit())")
    assert isinstance(pids, list)
    assert len(pids) < 6
    assert max(pids) < 100


async def test_the_machine_cannot_be_told_by_its_name(sandbox: BubblewrapSandbox) -> None:
    assert await tell(sandbox, "socket.gethostname()") == "sandbox"


# The network


async def test_a_service_of_this_machine_is_not_reached(sandbox: BubblewrapSandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        told = await tell(sandbox, f"socket.create_connection(('127.0.0.1', {port}), timeout=10)")
    assert told in ("ConnectionRefusedError", "OSError")


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "1.1.1.1", "93.184.215.14"])
async def test_no_address_is_reached(sandbox: BubblewrapSandbox, host: str) -> None:
    assert is_public(host) == (host in ("1.1.1.1", "93.184.215.14"))
    assert await tell(sandbox, f"socket.create_connection(({host!r}, 80), timeout=10)") == "OSError"


async def test_no_name_is_resolved(sandbox: BubblewrapSandbox) -> None:
    assert await tell(sandbox, "socket.getaddrinfo('example.com', 80)") == "gaierror"


async def test_there_is_no_interface_but_its_own_loopback(sandbox: BubblewrapSandbox) -> None:
    assert await tell(sandbox, "[name for _, name in socket.if_nameindex()]") in (["lo"], "OSError")


async def test_sockets_of_this_machine_are_not_reached_by_path_or_name(
    sandbox: BubblewrapSandbox, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as by_name:
        by_path.bind(str(tmp_path / "s"))
        by_path.listen()
        by_name.bind("\0perdure-canary")
        by_name.listen()
        reach = "socket.socket(socket.AF_UNIX).connect({!r})"
        assert await tell(sandbox, reach.format(str(tmp_path / "s"))) == "FileNotFoundError"
        assert await tell(sandbox, reach.format("\0perdure-canary")) == "ConnectionRefusedError"


@pytest.mark.parametrize(("family", "kind"), [(16, 3), (17, 3), (38, 5), (40, 1), (44, 3)])
async def test_no_socket_of_another_family_is_made(
    sandbox: BubblewrapSandbox, family: int, kind: int
) -> None:
    """Netlink, packet, crypto, hypervisor, XDP."""
    assert await tell(sandbox, f"socket.socket({family}, {kind})") == "OSError"


# Rights


SYSCALL = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)"


@pytest.mark.parametrize(
    "call",
    [
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.umount2(b'/tmp', 2)",
        "libc.mount(b'', b'/', b'', 32 | 4096, None)",
        "libc.unshare(0x10000000)",
        "libc.unshare(0x20000)",
        "libc.setns(0, 0)",
        "libc.chroot(b'/tmp')",
        "libc.ptrace(16, 1, 0, 0)",
        "libc.setuid(0)",
        "libc.setgid(0)",
        "libc.setresuid(0, 0, 0)",
        "libc.sethostname(b'x', 1)",
        "libc.reboot(0)",
        "libc.process_vm_readv(1, None, 0, None, 0, 0)",
        "libc.mknod(b'/tmp/sda', 0o060666, 0x800)",
        "libc.personality(0x0008)",
        "libc.swapon(b'/tmp/x', 0)",
        "libc.adjtimex(None)",
    ],
)
async def test_calls_that_lead_out_are_refused(sandbox: BubblewrapSandbox, call: str) -> None:
    assert await tell(sandbox, call, SYSCALL) == -1


async def test_no_capability_is_held_and_none_can_be_gained(sandbox: BubblewrapSandbox) -> None:
    lines = (
        await sandbox.run(Job(Language.BASH, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"))
    ).stdout
    held = dict(line.split(":\t") for line in lines.splitlines())
    assert {held[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")


async def test_a_program_with_the_setuid_bit_gives_no_rights(sandbox: BubblewrapSandbox) -> None:
    code = (
        "cp /usr/bin/id . ; chmod u+s id; ./id -u; su -c id 2>/dev/null; mount 2>/dev/null >/dev/null; true"
    )
    assert (await sandbox.run(Job(Language.BASH, code))).stdout == "1000\n"


@pytest.mark.parametrize(
    "path", ["/usr/bin/new", "/new", "/dev/new", "/etc/new", "/run/perdure/new", "/proc/sys/kernel/hostname"]
)
async def test_nothing_is_written_outside_of_the_folders_for_it(
    sandbox: BubblewrapSandbox, path: str
) -> None:
    told = await tell(sandbox, f"open({path!r}, 'w').write('x')")
    assert told in ("OSError", "PermissionError", "FileNotFoundError")


async def test_processes_of_the_machine_get_no_signal(sandbox: BubblewrapSandbox) -> None:
    victim = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        await tell(sandbox, f"[os.kill({victim.pid}, 9), os.kill({os.getpid()}, 0)]")
        with pytest.raises(BlockError):
            await sandbox.run(Job(Language.BASH, "kill -9 -1; exit 1"))
        assert victim.returncode is None
    finally:
        victim.kill()
        await victim.wait()


async def test_a_terminal_of_the_worker_gets_no_input(sandbox: BubblewrapSandbox) -> None:
    push = "fcntl.ioctl(os.open('/dev/tty', os.O_RDWR), termios.TIOCSTI, b'x')"
    assert await tell(sandbox, push, "import fcntl, os, termios") in ("OSError", "FileNotFoundError")


@pytest.mark.parametrize(
    "expression",
    [
        "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'] and 'harmless'",
        "(x for x in ()).gi_frame.f_builtins and 'harmless'",
        "__import__('sys')._getframe().f_back and 'harmless'",
        "__import__('gc').get_objects() and 'harmless'",
        "'{0.__class__.__init__.__globals__}'.format(os.environ) and 'harmless'",
    ],
)
async def test_tricks_with_the_inside_of_python_find_nothing(
    sandbox: BubblewrapSandbox, expression: str
) -> None:
    assert await tell(sandbox, expression) in ("harmless", [], "KeyError")


# What comes out


async def test_links_and_devices_are_no_files(sandbox: BubblewrapSandbox) -> None:
    code = (
        "ln -s /etc/passwd a; ln -s ../../../etc/passwd b; ln -s /proc/1/environ c; mkfifo d; ln -s / e;"
        "echo x > f; ln f g; ln -s /usr h"
    )
    assert (await sandbox.run(Job(Language.BASH, code))).folder == {"f": b"x\n", "g": b"x\n"}


async def test_a_file_of_an_odd_name_does_not_come_out(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockError, match="not understood"):
        await sandbox.run(Job(Language.PYTHON, "open('a\\nb', 'w').close()"))


async def test_code_that_ends_its_supervisor_has_failed(sandbox: BubblewrapSandbox) -> None:
    with pytest.raises(BlockError, match="ended the sandbox"):
        await python(sandbox, f"import os\nos.kill(os.getppid(), {signal.SIGKILL})\nwhile True: pass")


async def test_results_that_code_writes_itself_are_only_results(sandbox: BubblewrapSandbox) -> None:
    outcome = await python(
        sandbox, "import os\nopen('/tmp/.results', 'w').write('[{\"text\": 5}, 7]')\nos._exit(0)"
    )
    assert list(outcome.results) == [{"text": 5}]
    outcome = await python(sandbox, "import os\nos.symlink('/dev/zero', '/tmp/.results')\nos._exit(0)")
    assert list(outcome.results) == []
