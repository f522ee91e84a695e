"""The compose file and the image: what can be checked without a container engine."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = ROOT / "docker-compose.temporal.yml"
ONE_SHOTS = {"temporal-schema", "temporal-namespace"}
WITHOUT_HEALTH = ONE_SHOTS | {"worker"}
SERVICES = ["postgres", "temporal", "temporal-ui", "api", *sorted(WITHOUT_HEALTH)]
SECRET = re.compile(r"PASSWORD|PWD|SECRET|ENCRYPTION_KEY")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The parsed file."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return parsed


def test_the_temporal_server_is_the_one_that_is_tested(compose: dict[str, Any]) -> None:
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"Server ([0-9.]+), UI ([0-9.]+)", said)
    assert version is not None
    assert compose["services"]["temporal"]["image"] == f"temporalio/server:{version[1]}"
    assert compose["services"]["temporal-schema"]["image"] == f"temporalio/admin-tools:{version[1]}"
    assert compose["services"]["temporal-ui"]["image"] == f"temporalio/ui:{version[2]}"


def test_all_services_are_there(compose: dict[str, Any]) -> None:
    assert sorted(compose["services"]) == sorted(SERVICES)
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_says_how_its_health_is_seen(compose: dict[str, Any], name: str) -> None:
    health = compose["services"][name]["healthcheck"]
    assert health.get("disable") is True if name in WITHOUT_HEALTH else health["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_waits_for_what_is_ready(compose: dict[str, Any], name: str) -> None:
    for other, wait in compose["services"][name].get("depends_on", {}).items():
        is_one_shot = other in ONE_SHOTS
        assert wait == {"condition": "service_completed_successfully" if is_one_shot else "service_healthy"}
        assert is_one_shot or "test" in compose["services"][other]["healthcheck"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_default(compose: dict[str, Any], name: str) -> None:
    for variable, value in compose["services"][name]["environment"].items():
        if SECRET.search(variable) or SECRET.search(value):
            assert re.search(r"\$\{[A-Z_]+:\?set [A-Z_]+\}", value), f"{variable} of {name}"


def test_every_variable_that_must_be_set_is_named_in_the_head_of_the_file() -> None:
    text = COMPOSE.read_text()
    head = text[: text.index("services:")]
    for name in set(re.findall(r"\$\{([A-Z_]+):\?", text)):
        assert f"{name}=..." in head


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_host_only(compose: dict[str, Any], name: str) -> None:
    for port in compose["services"][name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", ["postgres", "temporal"])
def test_what_holds_the_data_is_reached_by_our_own_processes_only(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert "ports" not in service
    assert all(compose["networks"][network]["internal"] for network in service["networks"])


def test_everything_that_is_mounted_or_joined_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert {mount.split(":")[0] for mount in service.get("volumes", [])} <= set(compose["volumes"])
        assert {config["source"] for config in service.get("configs", [])} <= set(compose["configs"])


@pytest.mark.parametrize("name", ["api", "worker"])
def test_our_containers_may_write_and_do_nothing_beyond_need(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert (ROOT / service["build"]["context"] / "Dockerfile").exists()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "docker.sock" not in COMPOSE.read_text()


def test_the_image_runs_as_a_plain_user_from_the_locked_requirements() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER perdure"]
    assert any("pip install --require-hashes -r" in line for line in lines)


def test_everything_that_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent


def test_each_lock_has_a_hash_for_everything_and_names_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        pins = re.findall(r"^\S+==\S+.*?(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)
        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)
        assert not re.search(r"index-url|find-links|trusted-host|file://|@ http", text)


def test_what_runs_is_what_is_tested() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE))

    assert pins("runtime.txt") <= pins("dev.txt")
