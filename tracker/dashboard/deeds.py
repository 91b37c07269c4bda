"""What somebody asks for by a button: checked, written to the audit log, then handed to the tracker."""

from collections.abc import Mapping
from typing import get_args

from fastapi import Request

from saga.core.errors import SagaError
from tracker.access.permit import act
from tracker.access.role import Role
from tracker.api.context import Context
from tracker.core.command import Action
from tracker.dashboard.operations import OPERATIONS, operate
from tracker.dashboard.said import Said
from tracker.runtime.commands import ask, new_command

ANSWER_SECONDS_MAX = 10.0
_ACTIONS: tuple[Action, ...] = get_args(Action)


class UnknownDeed(SagaError):
    """The page asks for something that there is not. Load it again: it may be of another version."""


async def do(context: Context, request: Request, name: str, fields: Mapping[str, str]) -> Said:
    """Do it, and say what became of it.

    Raises
    ------
    SagaError
        It is not done: they may not, the reason is missing, Kafka does not answer.
    """
    operation = OPERATIONS.get(name)
    if operation is not None:
        return await operate(operation, context, request, fields)
    action = next((action for action in _ACTIONS if name == f"saga {action}"), None)
    if action is None:
        raise UnknownDeed(f"there is no {name!r} here: load the page again")
    saga, reason = fields.get("saga", ""), fields.get("reason", "")
    # Before anything is written down: what is wrong with it is for the one who asks.
    new_command(saga, action, "-", reason)
    principal = await act(request, Role.OPERATOR, f"saga.{action}", saga, reason)
    undo = fields.get("undo", "yes") == "yes"
    command = new_command(saga, action, principal.name, reason, fields.get("event", ""), undo)
    asked = await ask(context.settings, command, ANSWER_SECONDS_MAX)
    if asked.reply is None:
        return Said("No tracker has answered yet: it is done as soon as one runs.")
    if asked.reply.accepted:
        return Said(f"{action}: accepted")
    return Said(f"{action}: refused, {asked.reply.message}", done=False)
