"""A block for measuring: the clock, at a price. It comes as a package of blocks does, to one server only."""

from __future__ import annotations

from pathlib import Path

from app.blocks.library.time import GetCurrentTimeBlock
from app.graph.costs import Cost

PACKAGE = "perdure-benchmarks"


class PricedClockBlock(GetCurrentTimeBlock):
    """Tell the time of the day, for one credit."""

    id = "5b1f0c3a-2f0e-4f4e-9d36-6b7f0c1f9b01"
    costs = (Cost(credits=1),)


BLOCKS = [PricedClockBlock]


def offer(folder: Path) -> dict[str, str]:
    """Lay the package down in a folder; return the settings of a server that has its blocks."""
    about = folder / "perdure_benchmarks-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[perdure.blocks]\nall = {__name__}:BLOCKS\n")
    return {"PYTHONPATH": str(folder), "PERDURE_BLOCK_PACKAGES": PACKAGE}
