"""A block that costs the same each time, for workers to have from a package: of our own each goes by what it uses."""

from __future__ import annotations

from pathlib import Path

from app.blocks.library.web import SendWebRequestBlock
from app.graph.costs import Cost

PRICE = 5
"""Of one call."""
PACKAGE = "perdure-priced-blocks"


class PricedRequestBlock(SendWebRequestBlock):
    """Send a request for money."""

    id = "7d1f0c52-5b0e-4c58-9d4f-6a4c1b2f9e01"
    costs = (Cost(credits=PRICE),)


BLOCKS = [PricedRequestBlock]


def install(folder: Path) -> dict[str, str]:
    """Write down that this module is a package; return what a process has to be told to find it."""
    described = folder / "perdure_priced_blocks-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[perdure.blocks]\nall = {__name__}:BLOCKS\n")
    return {"PYTHONPATH": str(folder), "PERDURE_BLOCK_PACKAGES": PACKAGE}
