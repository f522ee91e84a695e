"""Which value meets which: the firings of a node that still lack inputs, filled first-in first-out per pin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.graph.envelope import Envelope, is_null
from app.graph.plan import PlanNode

Inputs: TypeAlias = dict[int, Envelope]
"""By linked input pin."""


@dataclass(slots=True)
class Slot:
    """A firing that still lacks inputs."""

    filled: int
    inputs: Inputs


@dataclass(slots=True)
class Waiting:
    """The firings of one node that lack inputs, oldest first."""

    slots: dict[int, Slot] = field(default_factory=dict)
    """By serial number."""
    next_serial: int = 0
    cursors: dict[int, int] = field(default_factory=dict)
    """By pin: no slot with a lower serial lacks it. Only ever moves up, so finding a slot costs next to nothing."""

    def oldest_without(self, pin: int) -> tuple[int, Slot]:
        """Return the oldest slot that lacks a pin, a new one if need be."""
        for serial in range(self.cursors.get(pin, 0), self.next_serial):
            slot = self.slots.get(serial)
            if slot is not None and not slot.filled >> pin & 1:
                self.cursors[pin] = serial
                return serial, slot
        serial = self.cursors[pin] = self.next_serial
        self.next_serial += 1
        slot = self.slots[serial] = Slot(0, {})
        return serial, slot

    def oldest_without_any(self, pins: Inputs) -> tuple[int, Slot]:
        """Return the oldest slot that lacks all of some pins, a new one if need be."""
        mask = sum(1 << pin for pin in pins)
        for serial, slot in self.slots.items():
            if not slot.filled & mask:
                return serial, slot
        serial = self.next_serial
        self.next_serial += 1
        slot = self.slots[serial] = Slot(0, {})
        return serial, slot

    def dump(self) -> list[Any]:
        """Return the slots as JSON."""
        return [list(slot.inputs.items()) for slot in self.slots.values()]

    @classmethod
    def load(cls, dumped: list[Any]) -> Waiting:
        """Return what `dump` was made from."""
        slots = [Slot(sum(1 << pin for pin, _ in pairs), dict(pairs)) for pairs in dumped]
        return cls(dict(enumerate(slots)), len(slots))


def fill(slot: Slot, inputs: Inputs) -> None:
    """Give a slot the inputs that it lacks."""
    for pin, envelope in inputs.items():
        if not slot.filled >> pin & 1:
            slot.inputs[pin] = envelope
            slot.filled |= 1 << pin


def is_complete(node: PlanNode, slot: Slot) -> bool:
    """Answer whether every linked pin has a value, and every required one a value that is not null.

    Those that come together or not at all may all be missing.
    """
    if slot.filled != node.all_pins and slot.filled != node.all_pins & ~node.loop_pins:
        return False
    if node.never_null:
        for pin, envelope in slot.inputs.items():
            if node.never_null >> pin & 1 and is_null(envelope):
                return False
    return True


def static_part(node: PlanNode, inputs: Inputs) -> Inputs:
    """Return the inputs that stay for the firings to come."""
    return {pin: envelope for pin, envelope in inputs.items() if node.static_pins >> pin & 1}
