"""Which saga is meant by what a user typed: a part of its id, or a business key."""

import time

from saga.runtime.settings import KafkaSettings
from tracker.cli.console import note, output
from tracker.cli.list import read_sagas, tell_unreadable
from tracker.cli.rows import ELLIPSIS, rows_table
from tracker.core.errors import UnreadableSaga
from tracker.view.changelog import read_saga
from tracker.view.sagas import Sagas

_MATCHES_SHOWN = 10
_NEAREST_SHOWN = 3


async def find_saga(settings: KafkaSettings, text: str) -> tuple[bytes, list[bytes]] | None:
    """The bytes of the one saga that is meant, and of others beside it (`read_saga`).

    None when there is none, or more than one: then it has been told which could have been meant.
    """
    name = text.removeprefix(ELLIPSIS)
    value, others = await read_saga(settings, name)
    if value is None:
        sagas = await read_sagas(settings)
        matches = sagas.matching(name)
        if len(matches) != 1:
            _tell_others(sagas, name)
            return None
        value, others = await read_saga(settings, matches[0].id)
    if value is None:
        raise UnreadableSaga(f"saga {name} was removed in this moment")
    return value, others


def _tell_others(sagas: Sagas, text: str) -> None:
    """Nothing to show, or too much: say which sagas could have been meant."""
    matches = sagas.matching(text)
    if matches:
        note(f"{len(matches):,} sagas match {text}; give more of the id:")
    else:
        note(f"saga: no saga has the id or the business key {text}")
    rows = matches[:_MATCHES_SHOWN] or sagas.nearest(text, _NEAREST_SHOWN)
    if rows:
        if not matches:
            note("the nearest:")
        output().print(rows_table(rows, time.time_ns() // 1_000_000, sagas.short_id_length(rows)))
    tell_unreadable(sagas)
