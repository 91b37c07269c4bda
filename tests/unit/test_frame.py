"""Frames are read as they were written, those of the version before as well, and no others."""

import pytest
from msgspec import DecodeError, msgpack, structs

from tests.facts import event, receipt
from tracker.core.frame import (
    FRAME_VERSION,
    ChildBegun,
    CommandSeen,
    EventSeen,
    Fact,
    Watermark,
    decode_frame,
    encode_frame,
)

MARKS = [Watermark("orders", 0, 1_000), Watermark("orders", 1, -1)]


def test_a_frame_is_read_as_it_was_written() -> None:
    paid = EventSeen("e-1", "paid", "s", "orders", 0, 7, 5, None, None, 1, b'{"value": 1}')
    command = CommandSeen("c-1", "cancel", "ada", "late", 9, "", True)
    sagas: dict[str, list[Fact]] = {
        "s-1": [event("e-2", "any"), receipt("e-1", "web")],
        "s-2": [paid, command, ChildBegun("s-3", "order.placed", "e-1", 5)],
        "s-3": [structs.replace(paid, parent="s-2")],
    }
    frame = decode_frame(encode_frame(sagas, MARKS))

    assert (frame.version, frame.watermarks, frame.sagas) == (FRAME_VERSION, MARKS, sagas)


def test_a_frame_of_version_1_is_read() -> None:
    old = [0, "e-1", "paid", "s", "orders", 0, 7, 5, None, None, 1]
    frame = decode_frame(msgpack.encode([1, [["orders", 0, 1_000]], {"s-1": [old]}]))

    assert frame.sagas == {"s-1": [EventSeen("e-1", "paid", "s", "orders", 0, 7, 5, None, None, 1)]}


@pytest.mark.parametrize("version", [0, FRAME_VERSION + 1])
def test_a_frame_of_another_version_is_refused(version: int) -> None:
    with pytest.raises(DecodeError, match=f"version {version}"):
        decode_frame(msgpack.encode([version, [], {}]))
