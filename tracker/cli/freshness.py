"""What is told of all sagas of a flow: how many, of which version, as of when."""

import time
from typing import NamedTuple

from rich.text import Text

from tracker.cli.console import note
from tracker.view.contract import FlowContract
from tracker.view.documents.flow import FunnelDocument, MapDocument
from tracker.view.duration import human

_SILENCE_MS = 5_000


class Fresh(NamedTuple):
    """How old an answer is, if that is known, and for how long nothing new was written before it; in
    milliseconds.
    """

    age_ms: int | None
    silent_ms: int = 0


def fresh(contract: FlowContract) -> Fresh:
    """How fresh what was read just now is."""
    age_ms = max(0, time.time_ns() // 1_000_000 - contract.as_of_ms)
    return Fresh(age_ms, contract.as_of_ms - contract.written_ms if contract.written_ms else 0)


def flow_head(told: FunnelDocument | MapDocument, fresh: Fresh) -> Text:
    """`order v1  1,284 sagas, 12 in flight  as of 94 ms ago`."""
    version = "" if told.version is None else f" v{told.version}"
    count = f"{told.sagas:,} saga{'' if told.sagas == 1 else 's'}, {told.in_flight:,} in flight"
    as_of = as_of_text(fresh.age_ms)
    if fresh.silent_ms > _SILENCE_MS:
        as_of += f" · nothing new for {human(fresh.silent_ms)}"
    return Text(f"{told.flow}{version}  {count}  {as_of}\n")


def as_of_text(age_ms: int | None) -> str:
    """`as of 94 ms ago`."""
    return "as of no time: nothing has been read yet" if age_ms is None else f"as of {human(age_ms)} ago"


def tell_unreadable(records: int) -> None:
    """Say what could not be read, if anything."""
    if records:
        note(f"{records} record{'s' if records > 1 else ''} could not be read")
