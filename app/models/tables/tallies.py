"""The table of what workers have counted, all of them together."""

from __future__ import annotations

from sqlalchemy import Column, Double
from sqlmodel import Field, SQLModel


class TallyRow(SQLModel, table=True):
    """One count. It is nobody's: no user, graph or execution has a part in its key."""

    __tablename__ = "tallies"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    """JSON of the labels' values, in their order."""
    bucket: str = Field(primary_key=True)
    """Of a histogram: the upper bound, or `sum`. Empty for a counter."""
    value: float = Field(sa_column=Column(Double, nullable=False))
