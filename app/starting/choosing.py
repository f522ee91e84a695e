"""Which credentials an execution uses: checks that what was chosen is the owner's, and is what the nodes need."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from app.database import Sessions
from app.errors import GraphInvalid
from app.graph.credential_choices import (
    KnownCredentials,
    check_choices,
    check_given,
    list_chosen,
    read_choices,
)
from app.graph.credential_needs import NodeNeed, needs_from_json
from app.graph.problems import NodeErrors
from app.models import credentials
from app.models.graphs import SavedGraph
from app.models.tables.credentials import StoredCredentials
from app.starting.nesting import Nesting


class Choosing:
    """Checks choices of credentials."""

    def __init__(self, sessions: Sessions, nesting: Nesting) -> None:
        """Take where credentials are kept, and what is nested in what."""
        self._sessions = sessions
        self._nesting = nesting

    async def choose(self, owner: str, saved: SavedGraph, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the ids of the credentials that an execution of a version is to use, by key.

        Args:
            owner: Who starts it.
            saved: The version.
            given: What was chosen, by the keys of the credentials schema.

        Raises:
            GraphInvalid: Something needed is not chosen, or what is chosen is not there or does not fit.
        """
        own, nested = await self._needs(owner, saved)
        problems = check_given(given, [*own, *nested])
        choices = read_choices(given)
        for node_id, fields in (await self._check(owner, own, nested, choices)).items():
            problems[node_id] = fields | problems.get(node_id, {})
        if problems:
            raise GraphInvalid(problems)
        return choices

    async def check_part(self, owner: str, saved: SavedGraph, given: Mapping[str, Any]) -> None:
        """Check a choice that others are added to later.

        Raises:
            GraphInvalid: What is chosen is not there or does not fit.
        """
        own, nested = await self._needs(owner, saved)
        problems = check_given(given, [*own, *nested])
        choices = read_choices(given)
        chosen = [[need for need in needs if need.key in choices] for needs in (own, nested)]
        problems |= await self._check(owner, chosen[0], chosen[1], choices)
        if problems:
            raise GraphInvalid(problems)

    async def choose_again(
        self, owner: str, saved: SavedGraph, before: Mapping[str, str], given: Mapping[str, Any]
    ) -> tuple[dict[str, str], NodeErrors]:
        """Return the choice of a rerun, and what is wrong with it now.

        Args:
            owner: Who starts it.
            saved: The version that is to run, perhaps another one than before.
            before: What the original used, by key.
            given: What is to be used instead.

        Raises:
            GraphInvalid: What is given now is not of the form it has to be.
        """
        own, nested = await self._needs(owner, saved)
        problems = check_given(given, [*own, *nested])
        if problems:
            raise GraphInvalid(problems)
        keys = {need.key for need in (*own, *nested)}
        choices = {key: chosen for key, chosen in {**before, **read_choices(given)}.items() if key in keys}
        return choices, await self._check(owner, own, nested, choices)

    async def _needs(self, owner: str, saved: SavedGraph) -> tuple[list[NodeNeed], list[NodeNeed]]:
        own = needs_from_json(saved.version.credential_needs)
        below = (await self._nesting.list_below(owner, [saved]))[0]
        return own, [need for nested in below for need in nested.credential_needs]

    async def _check(
        self, owner: str, own: list[NodeNeed], nested: list[NodeNeed], choices: Mapping[str, str]
    ) -> NodeErrors:
        known = await self._find(owner, list_chosen([*own, *nested], choices))
        return check_choices(own, nested, choices, known)

    async def _find(self, owner: str, chosen: Collection[str]) -> dict[str, KnownCredentials]:
        ids = {text: found for text in chosen if (found := _read_id(text)) is not None}
        if not ids:
            return {}
        async with self._sessions() as session:
            rows = await credentials.find_credentials(session, owner, set(ids.values()))
        known = {row.id: _as_known(row) for row in rows}
        return {text: known[found] for text, found in ids.items() if found in known}


def _read_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _as_known(row: StoredCredentials) -> KnownCredentials:
    return KnownCredentials(row.provider, row.type, row.host or "", tuple(row.scopes))
