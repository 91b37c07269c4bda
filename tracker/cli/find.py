"""Which saga is meant by what a user typed: a part of its id, or a business key."""

import time
from collections.abc import Sequence

from saga.runtime.settings import KafkaSettings
from tracker.cli.console import note, output
from tracker.cli.freshness import tell_unreadable
from tracker.cli.list import read_sagas
from tracker.cli.rows import ELLIPSIS, rows_table
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import decode_saga
from tracker.view.changelog import read_saga
from tracker.view.documents.row import SagaSummary
from tracker.view.sagas import Sagas

_MATCHES_SHOWN = 10
_NEAREST_SHOWN = 3


async def find_saga(settings: KafkaSettings, text: str) -> tuple[bytes, list[bytes]] | None:
    """The bytes of the one saga that is meant, and of others beside it (`read_saga`).

    For one that belongs to another the other is meant. None when there is none, or more than one: then it
    has been told which could have been meant.
    """
    name = bare(text)
    value, others = await _read(settings, name)
    if value is None:
        sagas = await read_sagas(settings)
        matches = sagas.matching(name)
        if len(matches) != 1:
            _tell_others(sagas, name)
            return None
        value, others = await _read(settings, matches[0].id)
    if value is None:
        raise UnreadableSaga(f"saga {name} was removed in this moment")
    return value, others


def bare(text: str) -> str:
    """What was typed, without the mark that lists put in front of the end of an id."""
    return text.removeprefix(ELLIPSIS)


async def _read(settings: KafkaSettings, saga_id: str) -> tuple[bytes | None, list[bytes]]:
    value, others = await read_saga(settings, saga_id)
    passed = {saga_id}
    while value is not None and (other := decode_saga(value).joined) and other not in passed:
        passed.add(other)
        value, others = await read_saga(settings, other)
    return value, others


def _tell_others(sagas: Sagas, text: str) -> None:
    matches = sagas.matching(text)
    rows = matches[:_MATCHES_SHOWN] or sagas.nearest(text, _NEAREST_SHOWN)
    now_ms = time.time_ns() // 1_000_000
    told = [sagas.summary(row, now_ms) for row in rows]
    tell_others(text, len(matches), told, sagas.short_id_length(rows))
    tell_unreadable(sagas.unreadable)


def tell_others(text: str, matches: int, sagas: Sequence[SagaSummary], id_length: int) -> None:
    """Nothing to show, or too much: say which sagas could have been meant, or are named most like it."""
    if matches:
        note(f"{matches:,} sagas match {text}; give more of the id:")
    else:
        note(f"saga: no saga has the id or the business key {text}")
        if sagas:
            note("the nearest:")
    if sagas:
        output().print(rows_table(sagas, id_length))
