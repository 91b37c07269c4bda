"""Records and the batch that they make, as bytes for another process. MessagePack, fields in order.

A batch is packed without what who asked for it has: the values of the records.
"""

from collections.abc import Sequence

from msgspec import Struct, msgpack

from saga.core.receipt import ServiceAnnouncement
from tracker.core.contract.packed import (
    decode_durations,
    decode_traffic,
    encode_durations,
    encode_traffic,
)
from tracker.core.flow import Flows
from tracker.core.subscriptions import Subscriptions
from tracker.flow.parse import parse
from tracker.view.known import Known
from tracker.view.model.batch import Batch, Record, SagaRow
from tracker.view.model.tallied import Hour, Key, Tallied


class _Known(Struct, frozen=True, array_like=True):
    announcements: tuple[ServiceAnnouncement, ...]
    flows: tuple[str, ...]


class _Hour(Struct, frozen=True, array_like=True):
    key: Key
    counts: tuple[int, int, int, int, int]
    durations: bytes


class _Batch(Struct, frozen=True, array_like=True):
    """The fields of `Batch`. `chains`: of each row, which of the records has its value."""

    rows: list[SagaRow]
    chains: list[int]
    joined: dict[str, str]
    unreadable: dict[str, tuple[int, int, str]]
    ids: list[str]
    hours: list[_Hour]
    days: list[tuple[Key, bytes]]


_encode = msgpack.Encoder().encode
_known = msgpack.Decoder(_Known)
_records = msgpack.Decoder(list[Record])
_batch = msgpack.Decoder(_Batch)


def pack_known(known: Known) -> bytes:
    """What sagas are read by, as bytes."""
    return _encode(_Known(known.announcements, tuple(flow.source for flow in known.flows)))


def unpack_known(value: bytes) -> Known:
    """The same from its bytes: sagas read the same by it."""
    told = _known.decode(value)
    flows = (parse(text).flow for text in told.flows)
    return Known(
        Subscriptions(told.announcements),
        Flows(tuple(flow for flow in flows if flow is not None)),
        told.announcements,
    )


def pack_records(records: Sequence[Record]) -> bytes:
    """Records as bytes."""
    return _encode(records)


def unpack_records(value: bytes) -> list[Record]:
    """Records from their bytes."""
    return _records.decode(value)


def pack_batch(batch: Batch, records: Sequence[Record]) -> bytes:
    """A batch as bytes, for someone who has the records it was made of."""
    where = {(record.partition, record.offset): place for place, record in enumerate(records)}
    ended = batch.ended
    return _encode(
        _Batch(
            batch.rows,
            [where[row.partition, row.offset] for row in batch.rows],
            batch.joined,
            batch.unreadable,
            batch.ids,
            [_Hour(key, hour.counts, encode_durations(hour.durations)) for key, hour in ended.hours.items()],
            [(key, encode_traffic(traffic)) for key, traffic in ended.days.items()],
        )
    )


def unpack_batch(value: bytes, records: Sequence[Record], known: Known) -> Batch:
    """The batch of these records, made with `known`, from its bytes.

    Raises
    ------
    DecodeError
        They are none.
    """
    told = _batch.decode(value)
    chains: dict[str, bytes] = {}
    for row, place in zip(told.rows, told.chains, strict=True):
        chain = records[place].value
        assert chain is not None, "a saga that was removed has no row"
        chains[row.id] = chain
    hours = {hour.key: Hour(*hour.key, *hour.counts, decode_durations(hour.durations)) for hour in told.hours}
    days = {key: decode_traffic(traffic) for key, traffic in told.days}
    return Batch(told.rows, chains, told.joined, told.unreadable, told.ids, Tallied(hours, days), known)
