"""A bulk job as it is asked for, and the commands that come of it."""

from typing import Literal, get_args

from msgspec import Struct, json

from saga.core.ids import derived_id
from tracker.core.command import Action, Command
from tracker.core.dead_letter import read_place
from tracker.core.effect import Reply
from tracker.core.redrive import Selection
from tracker.view.model.jobs import ItemState, JobItem, JobRow

JobAction = Literal[Action, "redrive"]

ACTIONS: frozenset[str] = frozenset(get_args(Action))
"""Those of commands: each saga of the job gets one."""

SAGAS_MAX = 100_000
"""Sagas of one job."""


class Sagas(Struct, frozen=True):
    """What a job of commands is about: how its sagas were found, for people; `undo` as in a command."""

    search: dict[str, str]
    undo: bool = True


class Letters(Struct, frozen=True):
    """What a redrive is about: letters of one topic, and how; the fields are those of `Manner`.

    `letters` are places, topic/partition/offset; without any all that have this service, type and error.
    """

    topic: str
    letters: tuple[str, ...] = ()
    service: str | None = None
    type: str | None = None
    error: str | None = None
    batch_limit: int = 64
    failed_max: float = 0.2
    replays_max: int = 3
    wait_seconds: float = 30.0
    service_for: str | None = None

    def selection(self) -> Selection:
        """Which letters."""
        places = tuple(place for text in self.letters if (place := read_place(text)) is not None)
        return Selection(self.topic, places, self.service, self.type, self.error)


_sagas = json.Decoder(Sagas)
_letters = json.Decoder(Letters)


def sagas_of(job: JobRow) -> Sagas:
    """What a job of commands is about."""
    return _sagas.decode(job.about)


def letters_of(job: JobRow) -> Letters:
    """What a redrive is about."""
    return _letters.decode(job.about)


def command_of(job: JobRow, item: JobItem) -> Command:
    """The command for one saga: always the same, so that one which is sent again is obeyed once."""
    assert job.action in ACTIONS, job.action
    return Command(
        derived_id(job.id, item.saga, 0),
        item.saga,
        job.action,  # type: ignore[arg-type]
        job.by,
        job.reason,
        job.made_ms,
        "",
        sagas_of(job).undo,
    )


def result(reply: Reply | None) -> tuple[ItemState, str]:
    """What an item came to by the tracker's answer; None where there was none in time."""
    if reply is None:
        return "unanswered", "no answer in time: the command stands on saga.commands and will be obeyed"
    return ("accepted" if reply.accepted else "refused"), reply.message
