"""Records as aiokafka gives them, by hand."""

from collections.abc import Sequence

from saga.runtime.kafka import ConsumerRecord


def record_of(
    headers: Sequence[tuple[str, bytes | None]],
    value: bytes | None,
    *,
    topic: str = "orders",
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = None,
    timestamp: int = 0,
) -> ConsumerRecord:
    """A record that stands there."""
    return ConsumerRecord(
        topic,
        partition,
        offset,
        timestamp,
        0,
        key,
        value,
        None,
        len(key or b""),
        len(value or b""),
        tuple(headers),
    )
