"""What buttons ask for that is no command for one saga: done by the functions of the API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from fastapi import Request
from msgspec import DecodeError, json
from pydantic import ValidationError

from tracker.access.routes import NewToken, make_token, revoke_token
from tracker.api.context import Context
from tracker.api.dead_letters import Edit, Reason, discard, edit
from tracker.api.jobs import LetterChoice, NewRedrive, abort, begin
from tracker.api.payload import unmask
from tracker.core.dead_letter import Place, read_place
from tracker.dashboard.fields import Fields, UnusableFields
from tracker.dashboard.listed import act_on_sagas, remove_view, save_view
from tracker.dashboard.said import Said
from tracker.runtime.commands import check_who_and_why
from tracker.view.documents.payload import payload_text

Operation: TypeAlias = Callable[[Context, Request, Fields], Awaitable[Said]]


async def operate(operation: Operation, context: Context, request: Request, fields: Fields) -> Said:
    """Do it, and say what became of it.

    Raises
    ------
    SagaError
        It is not done: they may not, something is missing, Kafka does not answer.
    """
    if operation not in _WITHOUT_REASON:
        # The words of pydantic for what is missing are none for people.
        check_who_and_why("somebody", fields.get("reason", ""))
    try:
        return await operation(context, request, fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UnusableFields(wrong) from error


async def _redrive(context: Context, request: Request, fields: Fields) -> Said:
    named = {name: fields[name] for name in ("service", "type", "error") if name in fields}
    letters = [fields["letter"]] if fields.get("letter") else []
    choice = LetterChoice(topic=fields.get("topic", ""), letters=letters, **named)
    await begin(
        request, context, NewRedrive(action="redrive", reason=fields.get("reason", ""), letters=choice)
    )
    return Said("redrive: begun, its progress is above")


async def _edit(context: Context, request: Request, fields: Fields) -> Said:
    try:
        wanted = json.decode(fields.get("payload", ""))
    except DecodeError as error:
        raise UnusableFields(f"the payload is no JSON: {error}") from error
    await edit(request, context, _letter(fields), Edit(reason=fields.get("reason", ""), payload=wanted))
    return Said("edited: a redrive sends this payload, the letter keeps the other one")


async def _discard(context: Context, request: Request, fields: Fields) -> Said:
    await discard(request, context, _letter(fields), Reason(reason=fields.get("reason", "")))
    return Said("discarded: no redrive of its group takes it any more")


def _letter(fields: Fields) -> Place:
    place = read_place(fields.get("letter", ""))
    if place is None:
        raise UnusableFields("no letter is named: load the page again")
    return place


async def _abort(context: Context, request: Request, fields: Fields) -> Said:
    await abort(request, context, fields.get("job", ""))
    return Said("it ends behind what it is doing")


async def _unmask(context: Context, request: Request, fields: Fields) -> Said:
    saga, event = fields.get("saga", ""), fields.get("event", "")
    told = await unmask(request, context, saga, event, fields.get("reason", ""))
    return Said(f"{told.type}, recorded in the audit log", payload_text(told))


async def _make_token(_: Context, request: Request, fields: Fields) -> Said:
    wanted = {name: fields.get(name, "") for name in ("name", "role", "days", "reason")}
    made = await make_token(request, NewToken.model_validate(wanted))
    return Said(f"The token of {made.name}, shown this once: keep it now.", made.secret)


async def _revoke_token(_: Context, request: Request, fields: Fields) -> Said:
    await revoke_token(request, fields.get("token", ""), fields.get("reason", ""))
    return Said("revoked: it gives no access any more")


OPERATIONS: Mapping[str, Operation] = {
    "letters redrive": _redrive,
    "letter discard": _discard,
    "letter edit": _edit,
    "job abort": _abort,
    "payload unmask": _unmask,
    "sagas act": act_on_sagas,
    "view save": save_view,
    "view remove": remove_view,
    "token create": _make_token,
    "token revoke": _revoke_token,
}
"""By the names that forms of pages have."""

_WITHOUT_REASON = (_abort, save_view, remove_view)
"""What harms nobody needs none."""
