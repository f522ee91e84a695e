"""The system calls that code in a sandbox may not make, as a filter of the kernel.

The namespaces hold without it. It takes away what the kernel has been broken through: nested namespaces, mounts, BPF,
io_uring, tracing, keys, and sockets of families that a network namespace does not hold, such as those to a hypervisor.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable

_LOAD_WORD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""The flags of clone that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_SOCKET_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: all of them empty in here, and programs ask for them."""

# Numbers are the same on both machines from pidfd_send_signal (424) on.
_REFUSED_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
}
_REFUSED = {
    "x86_64": {
        "ptrace": 101,
        "syslog": 103,
        "uselib": 134,
        "personality": 135,
        "vhangup": 153,
        "pivot_root": 155,
        "_sysctl": 156,
        "adjtimex": 159,
        "chroot": 161,
        "acct": 163,
        "settimeofday": 164,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
        "sethostname": 170,
        "setdomainname": 171,
        "iopl": 172,
        "ioperm": 173,
        "init_module": 175,
        "delete_module": 176,
        "quotactl": 179,
        "lookup_dcookie": 212,
        "clock_settime": 227,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "move_pages": 279,
        "perf_event_open": 298,
        "fanotify_init": 300,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "clock_adjtime": 305,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "kexec_file_load": 320,
        "bpf": 321,
        "userfaultfd": 323,
    },
    "aarch64": {
        "lookup_dcookie": 18,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "chroot": 51,
        "vhangup": 58,
        "quotactl": 60,
        "acct": 89,
        "personality": 92,
        "unshare": 97,
        "kexec_load": 104,
        "init_module": 105,
        "delete_module": 106,
        "clock_settime": 112,
        "syslog": 116,
        "ptrace": 117,
        "reboot": 142,
        "sethostname": 161,
        "setdomainname": 162,
        "settimeofday": 170,
        "adjtimex": 171,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "swapoff": 225,
        "move_pages": 239,
        "perf_event_open": 241,
        "fanotify_init": 262,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "clock_adjtime": 266,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
        "kexec_file_load": 294,
    },
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CLONE3 = 435


def make_filter(machine: str | None = None) -> bytes:
    """Return the filter in the form that the kernel loads.

    Args:
        machine: As `uname -m` calls it; this one unless said otherwise.

    Raises:
        LookupError: The numbers of its system calls are not known here.
    """
    machine = machine or platform.machine()
    refused = sorted({*_REFUSED[machine].values(), *_REFUSED_EVERYWHERE.values()})
    program = [
        _step(_LOAD_WORD, _AT_ARCHITECTURE),
        _step(_IF_EQUAL, _ARCHITECTURE[machine], then=1),
        _step(_ANSWER, _KILL),
        _step(_LOAD_WORD, _AT_NUMBER),
        *_refuse_if(_IF_AT_LEAST, _X32, errno.ENOSYS),
        # Its flags lie in memory, where no filter sees them. Told that there is none, libraries take clone.
        *_refuse_if(_IF_EQUAL, _CLONE3, errno.ENOSYS),
        *(step for number in refused for step in _refuse_if(_IF_EQUAL, number, errno.EPERM)),
        *_only_for(_CLONE[machine], _refuse_if(_IF_ANY_BIT, _NEW_NAMESPACES, errno.EPERM)),
        *_only_for(_SOCKET[machine], _allow_only(_SOCKET_FAMILIES)),
        _step(_ANSWER, _ALLOW),
    ]
    return b"".join(program)


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _refuse_if(code: int, value: int, error: int) -> list[bytes]:
    return [_step(code, value, otherwise=1), _step(_ANSWER, _REFUSE | error)]


def _allow_only(families: Iterable[int]) -> list[bytes]:
    allowed = [
        step
        for family in families
        for step in (_step(_IF_EQUAL, family, otherwise=1), _step(_ANSWER, _ALLOW))
    ]
    return [*allowed, _step(_ANSWER, _REFUSE | errno.EAFNOSUPPORT)]


def _only_for(number: int, steps: list[bytes]) -> list[bytes]:
    """Return steps that look at the first argument of one system call and leave the others alone."""
    looked = [_step(_LOAD_WORD, _AT_FIRST_ARGUMENT), *steps, _step(_ANSWER, _ALLOW)]
    return [_step(_IF_EQUAL, number, otherwise=len(looked)), *looked]
