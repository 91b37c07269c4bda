"""What became of a record: what is to be written to Kafka because of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from saga.core.receipt import Receipt


class Output(NamedTuple):
    """A record to be written. Its partition follows from its key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Outcome:
    """A finished record: its position, what it leads to, and the key it is remembered by.

    `origin` is given for one that was parked: topic and partition that the event was published on.
    """

    topic: str
    partition: int
    offset: int
    outputs: list[Output] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    memory_key: str | None = None
    origin: tuple[str, int] | None = None
