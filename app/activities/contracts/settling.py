"""The activity that brings a record in line with Temporal."""

from dataclasses import dataclass

SETTLE_ACTIVITY = "settle_execution"


@dataclass(frozen=True)
class SettleRequest:
    """Asks to bring the record of an execution in line with Temporal, which has closed it."""

    execution_id: str
    user_id: str
