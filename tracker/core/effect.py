"""What the tracker wants done to the world. Decided by `advance`, done by the runtime.

An effect's id follows from why it was decided: deciding once more, after a crash or a replay, gives
the same effect under the same id.
"""

from typing import Literal

from msgspec import Struct

from tracker.core.frame import Fact

LIFECYCLE_TOPIC = "saga.lifecycle"
ALERTS_TOPIC = "saga.alerts"
ANSWERS_TOPIC = "saga.answers"

Stage = Literal[
    "started",
    "warned",
    "breached",
    "compensating",
    "compensated",
    "completed",
    "failed",
    "stuck",
    "cancelled",
    "paused",
    "resumed",
    "joined",
]
Cause = Literal[
    "warning",
    "breach",
    "stuck",
    "undeliverable",
    "past-pivot",
    "expression",
    "source-gone",
    "unreadable-row",
    "too-many-events",
    "abandoned",
    "tracker-behind",
    "tracker-caught-up",
    "contradiction",
    "paused",
    "standstill",
    "going-on",
]


class Publish(Struct, frozen=True, gc=False):
    """A business event: an undo command, the `then` event, what a breach emits.

    `cause` is the event it is derived from; `key` is the record's key, "" for the id of the saga;
    `data` is JSON.
    """

    id: str
    saga: str
    topic: str
    type: str
    cause: str
    key: str
    data: bytes
    at_ms: int


class Lifecycle(Struct, frozen=True, omit_defaults=True, gc=False):
    """The saga has come to a new stage. A CloudEvent `saga.<stage>` on `saga.lifecycle`.

    Attributes
    ----------
    at_ms : when that was, in the time of the events and not of the tracker's clock.
    rule : the SLA rule, with `warned` and `breached`.
    due_ms : its deadline; -1 otherwise.
    reason : why, with `compensating`, `stuck`, `cancelled`, `paused` and `resumed`; with `joined` the saga
        that it belongs to.
    """

    id: str
    saga: str
    key: str
    flow: str
    flow_version: int
    stage: Stage
    at_ms: int
    rule: str = ""
    due_ms: int = -1
    reason: str = ""


class Alert(Struct, frozen=True, omit_defaults=True, gc=False):
    """Somebody should look at the saga. A CloudEvent `saga.alert.<cause>` on `saga.alerts`.

    `source-gone` and those about the tracker itself are about no saga: `saga` is "".
    """

    id: str
    saga: str
    key: str
    flow: str
    flow_version: int
    cause: Cause
    at_ms: int
    message: str
    rule: str = ""
    event: str = ""


class Reply(Struct, frozen=True, gc=False):
    """What became of an operator's command.

    A CloudEvent `saga.command.<accepted|refused>` on `saga.answers`.
    """

    id: str
    command: str
    saga: str
    accepted: bool
    message: str
    at_ms: int


class Hold(Struct, frozen=True, gc=False):
    """Services are to leave the saga alone, or once `released` to go on with it: see `saga.core.pause`."""

    id: str
    saga: str
    by: str
    reason: str
    at_ms: int
    released: bool


Announced = Publish | Lifecycle | Alert | Reply | Hold
"""What becomes a record of its own: a CloudEvent, but for a hold."""


class HandOn(Struct, frozen=True, gc=False):
    """Facts that another saga is to be told, as a frame without watermarks."""

    saga: str
    facts: tuple[Fact, ...]


Effect = Announced | HandOn
