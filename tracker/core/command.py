"""What operators ask for on `saga.commands`: JSON, so that any tool can send it.

The record's key is the id of the saga. Its JSON Schema is published under docs/json.
"""

from typing import Literal

from msgspec import Struct

COMMANDS_TOPIC = "saga.commands"

Action = Literal["cancel", "compensate", "pause", "resume", "retry", "skip", "done", "note"]


class Command(Struct, frozen=True, omit_defaults=True, gc=False):
    """One wish of an operator for one saga.

    Attributes
    ----------
    id : unique; a command that comes twice is obeyed once.
    by, reason : who asks, and why. Neither may be empty.
    at_ms : when it was given, milliseconds since the Unix epoch.
    action : `cancel` ends the saga, and undoes it first unless `undo` is false; `compensate` undoes what
        can be undone; `pause` has services park its events and stops its clocks until `resume`; `retry`,
        `skip` and `done` are about an undo that is stuck: attempt it once more, leave it, or take it for done
        by hand; `note` only writes the reason into the saga's history.
    event : for `retry`, `skip` and `done`: id of the event whose undo is meant; "" for all that are stuck.
    undo : for `cancel`.
    """

    id: str
    saga: str
    action: Action
    by: str
    reason: str
    at_ms: int
    event: str = ""
    undo: bool = True
