"""In which parts a run is dealt out to test processes, and which parts come first."""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadFileScheduling

SHARING = PurePath("tests/e2e")
"""The tests in this folder share servers, of which a run thus has one of each."""

_ORDER = ("e2e", "fault", "integration")
"""What takes longest comes first: whoever gets it last keeps everybody waiting."""


class Dealing(LoadFileScheduling):
    """A file to a process at a time; those that share servers all to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(super()._split_scope(nodeid))
        return str(SHARING if SHARING in file.parents else file)


def place_of(file: PurePath) -> int:
    """Return where a test file comes in the order, to sort by."""
    return next((place for place, folder in enumerate(_ORDER) if folder in file.parts), len(_ORDER))
