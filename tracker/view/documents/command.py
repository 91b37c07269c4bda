"""What became of a command."""

from msgspec import Struct


class CommandAnswer(Struct, frozen=True):
    """A command and what the tracker says to it; `accepted` is null if it has not answered yet.

    It stands on `saga.commands` then, and is obeyed as soon as a tracker reads it: ask for `/commands`.
    """

    command: str
    saga: str
    action: str
    accepted: bool | None
    message: str | None
