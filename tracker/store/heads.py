"""What a scan of the table wants to know of each saga, without decoding its steps."""

from collections.abc import Iterable, Iterator

from msgspec import DecodeError, Raw, msgpack

from tracker.core.course import Course
from tracker.core.saga import SagaHead


class Head(SagaHead, frozen=True, array_like=True, gc=False):
    """The first fields of a row: steps are skipped, which is what makes a scan quick."""

    steps: Raw = Raw()
    course: Course | None = None


_decode = msgpack.Decoder(Head).decode


def heads(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Head]:
    """The heads of these rows. What is no saga of this format has none."""
    for _, row in rows:
        try:
            yield _decode(row)
        except (DecodeError, UnicodeDecodeError):
            continue
