"""Types that pins may have besides the plain ones."""

from __future__ import annotations

from enum import Enum, IntEnum

from pydantic import BaseModel


class Operation(Enum):
    ADD = "Add"
    DIVIDE = "Divide"


class Level(IntEnum):
    LOW = 1


class Attendee(BaseModel):
    name: str
    age: int = 0
