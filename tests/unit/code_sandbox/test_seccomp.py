from __future__ import annotations

import errno
import platform
import struct

import pytest

from app.code_sandbox.seccomp import make_filter

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {"read": 0, "socket": 41, "clone": 56, "ptrace": 101, "mount": 165, "unshare": 272, "bpf": 321},
    "aarch64": {
        "read": 63,
        "socket": 198,
        "clone": 220,
        "ptrace": 117,
        "mount": 40,
        "unshare": 97,
        "bpf": 280,
    },
}
MACHINES = sorted(NUMBERS)


def decide(machine: str, number: int, argument: int = 0, *, architecture: int | None = None) -> int:
    """Return what the kernel would answer: the filter, carried out step by step."""
    seen = struct.pack("=IIQQ", number, architecture or ARCHITECTURES[machine], 0, argument)
    steps = list(struct.iter_unpack("=HBBI", make_filter(machine)))
    at, held = 0, 0
    while True:
        code, then, otherwise, value = steps[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("=I", seen, value)[0]
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: held & value != 0}[code]
            at += then if holds else otherwise


def refused(error: int) -> int:
    return 0x00050000 | error


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ["ptrace", "mount", "unshare", "bpf"])
def test_a_call_that_leads_out_is_refused(machine: str, call: str) -> None:
    assert decide(machine, NUMBERS[machine][call]) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_io_uring_is_refused(machine: str) -> None:
    assert {decide(machine, number) for number in (425, 426, 427)} == {refused(errno.EPERM)}


@pytest.mark.parametrize("machine", MACHINES)
def test_an_everyday_call_is_allowed(machine: str) -> None:
    assert decide(machine, NUMBERS[machine]["read"]) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("family", "is_allowed"),
    [(1, True), (2, True), (10, True), (16, False), (17, False), (38, False), (40, False)],
)
def test_only_sockets_that_the_walls_hold_are_made(machine: str, family: int, is_allowed: bool) -> None:
    answer = decide(machine, NUMBERS[machine]["socket"], family)
    assert answer == (ALLOWED if is_allowed else refused(errno.EAFNOSUPPORT))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_process_may_be_made_but_no_namespace_with_it(machine: str) -> None:
    clone = NUMBERS[machine]["clone"]
    assert decide(machine, clone, 17) == ALLOWED
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(machine, clone, 17 | namespace) == refused(errno.EPERM)
    assert decide(machine, 435) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_of_another_architecture_are_not_let_through(machine: str) -> None:
    assert decide(machine, NUMBERS[machine]["read"], architecture=0x40000003) == KILLED
    assert decide(machine, 0x40000000 | NUMBERS[machine]["ptrace"]) == refused(errno.ENOSYS)


def test_a_machine_whose_numbers_are_unknown_gets_no_filter() -> None:
    with pytest.raises(LookupError):
        make_filter("riscv64")
    assert make_filter(platform.machine())
