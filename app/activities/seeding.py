"""Prepares a rerun: records what it reuses of another execution, and makes the state that it begins with."""

from __future__ import annotations

from app.activities.contracts import SeedRequest, StoredState


class Seeding:
    """Prepares reruns."""

    async def seed(self, request: SeedRequest) -> StoredState:
        """Record what a rerun reuses, and store the state that it begins with."""
        raise NotImplementedError
