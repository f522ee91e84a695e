"""Which blocks a deployment has: what whoever runs it has said, the same for its API and its workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """Which blocks there are in a deployment, and which of them are on."""

    disabled: frozenset[str] = frozenset()
    """Blocks that are turned off, by UUID, slug or class name."""
    packages: tuple[str, ...] = ()
    """Installed distributions whose blocks are there too."""
    settings: frozenset[str] = frozenset()
    """The settings that are made, of those that some block goes by."""
