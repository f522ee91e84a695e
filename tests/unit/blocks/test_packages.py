"""Blocks that come with other distributions."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.blocks.choice import BlockChoice
from app.blocks.library.basic import StoreValueBlock
from app.blocks.packages import RegistryRefused
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry, make_registry
from app.errors import BlockDisabled
from tests.packages import CODE, MODULE, NAME, install_package

ABSTRACT = CODE.replace("def run(self, given: Input)", "def walk(self, given: Input)")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package."""
    return install_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def install(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install the package for one test, perhaps with other code, or with an entry point that names another thing."""

    def copy(code: str = CODE, *, attribute: str = "BLOCKS") -> None:
        folder = shutil.copytree(package, tmp_path / "installed")
        (folder / f"{MODULE}.py").write_text(code)
        (names,) = folder.glob("*.dist-info/entry_points.txt")
        names.write_text(names.read_text().replace("BLOCKS", attribute))
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        monkeypatch.syspath_prepend(str(folder))

    return copy


def test_a_package_that_nobody_names_is_not_even_imported(install: Callable[..., None]) -> None:
    install()

    assert len(make_registry()) == len(BLOCK_CLASSES)
    assert MODULE not in sys.modules


@pytest.mark.parametrize("name", ["Acme.Blocks", "acme-blocks", "ACME_blocks"])
def test_the_blocks_of_a_named_package_come_after_our_own(install: Callable[..., None], name: str) -> None:
    install()

    registry = make_registry(BlockChoice(packages=(name,)))

    assert [block.name for block in registry][len(BLOCK_CLASSES) :] == ["ShoutBlock", "WhisperBlock"]
    assert not registry.require("shout_block").off_because


def test_an_entry_point_may_be_a_block_itself(install: Callable[..., None]) -> None:
    install(attribute="ShoutBlock")

    assert make_registry(BlockChoice(packages=(NAME,))).get("ShoutBlock")


def test_a_block_of_a_package_can_be_turned_off(install: Callable[..., None]) -> None:
    install()

    registry = make_registry(BlockChoice(packages=(NAME,), disabled=frozenset({"shout_block"})))

    assert registry.require("ShoutBlock").off_because
    with pytest.raises(BlockDisabled, match="ShoutBlock"):
        registry.require_enabled("ShoutBlock")


@pytest.mark.parametrize(
    ("code", "attribute", "reason"),
    [
        ("raise OSError('no licence')", "BLOCKS", "OSError: no licence"),
        ("import nothing_of_this_name", "BLOCKS", "No module named 'nothing_of_this_name'"),
        (CODE, "MISSING", "has no attribute 'MISSING'"),
        ("BLOCKS = [int]", "BLOCKS", "no block"),
        ("BLOCKS = 3", "BLOCKS", "no block"),
        (ABSTRACT, "BLOCKS", "has no `run`"),
        (CODE.replace("4d0a7b58-5a0c-4f6e-8f0e-0a3f6f6a1c01", "shout"), "BLOCKS", "no UUID"),
    ],
    ids=["raises", "imports", "attribute", "class", "value", "abstract", "id"],
)
def test_a_broken_package_refuses_the_start_with_its_name(
    install: Callable[..., None], code: str, attribute: str, reason: str
) -> None:
    install(code, attribute=attribute)

    with pytest.raises(RegistryRefused) as refused:
        make_registry(BlockChoice(packages=(NAME,)))
    assert NAME in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("4d0a7b58-5a0c-4f6e-8f0e-0a3f6f6a1c01", "1ff065e9-88e8-4358-9d82-8dc91f622ba9"),
        ("ShoutBlock", "StoreValueBlock"),
        ("class Input(BlockInput)", 'slug = "store_value_block"\n\n    class Input(BlockInput)'),
    ],
    ids=["id", "name", "slug"],
)
def test_a_block_with_the_id_the_name_or_the_slug_of_another_refuses_the_start(
    install: Callable[..., None], ours: str, theirs: str
) -> None:
    install(CODE.replace(ours, theirs))

    with pytest.raises(RegistryRefused, match="StoreValueBlock are both called"):
        make_registry(BlockChoice(packages=(NAME,)))


def test_a_block_that_costs_something_and_is_never_charged_refuses_the_start(
    install: Callable[..., None],
) -> None:
    cost = "from app.graph.costs import Cost\n"
    install(
        cost
        + CODE.replace("class Input(BlockInput)", "costs = (Cost(credits=1),)\n\n    class Input(BlockInput)")
    )

    with pytest.raises(RegistryRefused, match="ShoutBlock costs something"):
        make_registry(BlockChoice(packages=(NAME,)))


def test_a_package_that_is_not_installed_refuses_the_start_with_its_name() -> None:
    with pytest.raises(RegistryRefused, match="'nobody-has-this' is not installed"):
        make_registry(BlockChoice(packages=("nobody-has-this",)))


@pytest.mark.parametrize(
    "ref", ["1ff065e9-88e8-4358-9d82-8dc91f622ba9", "store_value_block", "StoreValueBlock"]
)
def test_a_block_is_turned_off_by_any_of_its_names(ref: str) -> None:
    registry = make_registry(BlockChoice(disabled=frozenset({ref})))

    assert {block.name for block in registry if block.off_because and not block.setting} == {
        "StoreValueBlock"
    }
    assert registry.require("store_value_block").signature.off_because


def test_a_block_that_needs_a_setting_is_off_until_it_is_made() -> None:
    class Careful(StoreValueBlock):
        """A block that somebody has to want."""

        setting = "PERDURE_CAREFUL"

    assert BlockRegistry([Careful()]).require("Careful").off_because == (
        "Careful is off until PERDURE_CAREFUL is set"
    )
    assert not BlockRegistry([Careful()], settings={"PERDURE_CAREFUL"}).require("Careful").off_because


def test_turning_off_what_there_is_not_refuses_the_start() -> None:
    with pytest.raises(RegistryRefused, match="'store_valu_block'"):
        make_registry(BlockChoice(disabled=frozenset({"store_valu_block"})))
