"""Stored values for callers: large run inputs on their way in, references on their way out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from app.database import Sessions
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, make_inline, make_reference
from app.models import values
from app.models.value_bodies import Body, make_object_name, pack, read_texts
from app.models.values import open_with
from app.objects import ObjectStore


class Values:
    """Stores and reads the values of owners."""

    def __init__(self, sessions: Sessions, objects: ObjectStore | None) -> None:
        """Take where values are kept.

        Args:
            sessions: The record, and the bodies too unless there is an object store.
            objects: Where new bodies are kept.
        """
        self._sessions = sessions
        self._objects = objects

    async def store(self, owner: str, value: Any) -> Envelope:
        """Return an envelope for a JSON value; a large one is stored.

        Whoever is given a reference has a day to write down what uses it.

        Raises:
            ObjectsAway: It could not be stored.
        """
        new = values.make_new_value(value)
        if len(new.text) <= INLINE_LIMIT_BYTES:
            return make_inline(value)
        async with self._sessions() as session:
            is_stored = await values.touch_value(session, owner, new.sha256)
        if not is_stored:
            body = await self._make_body(new)
            async with self._sessions.begin() as writing:
                await values.insert_value(writing, owner, new, body)
        return make_reference(new.sha256, len(new.text))

    async def find(self, owner: str, envelopes: Iterable[Envelope]) -> Mapping[str, Any]:
        """Return by hash those of the referenced values that the owner has.

        Raises:
            ObjectsAway: They cannot be read now.
        """
        async with self._sessions() as session:
            bodies = await values.find_bodies(session, owner, envelopes)
        texts = await read_texts(bodies, self._objects)
        return {sha256: json.loads(text) for sha256, text in texts.items()}

    async def open(self, owner: str, envelope: Envelope) -> Any:
        """Return the value in an envelope.

        Raises:
            ValueLost: The owner has not the value that it refers to.
            ObjectsAway: It cannot be read now.
        """
        return open_with(await self.find(owner, [envelope]))(envelope)

    async def require_text(self, owner: str, execution_id: uuid.UUID, sha256: str) -> bytes:
        """Return the JSON text of a value that an owner's execution refers to.

        Raises:
            NotFound: It refers to none of that hash.
            ObjectsAway: It cannot be read now.
        """
        async with self._sessions() as session:
            body = await values.require_body(session, owner, execution_id, sha256)
        return (await read_texts({sha256: body}, self._objects))[sha256]

    async def _make_body(self, new: values.NewValue) -> Body:
        data = await pack(new.text)
        if self._objects is None:
            return Body(data)
        name = make_object_name(new.sha256)
        async with self._sessions() as session:
            await values.announce_object(session, name)
        await self._objects.put(name, data)
        return Body(object=name)
