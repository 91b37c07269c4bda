"""What is asked for by buttons of the list of sagas."""

from urllib.parse import unquote

from fastapi import Request

from tracker.access.permit import asker_of
from tracker.api.context import Context
from tracker.api.jobs import IDS_MAX, NewCommands, begin
from tracker.core.words import plural
from tracker.dashboard.fields import Fields, UnusableFields
from tracker.dashboard.pages.sagas.search import by_id, wanted_of
from tracker.dashboard.place import Place, place_of
from tracker.dashboard.said import Said
from tracker.view.queries.jobs import saga_ids
from tracker.view.queries.views import SavedView, ViewStore


async def act_on_sagas(context: Context, request: Request, fields: Fields) -> Said:
    """One action for those that are chosen in the list, or for all that its search finds now.

    Raises
    ------
    UnusableFields
        There is none, or there are more than the field `most` allows.
    """
    action, most = fields.get("action", ""), _number(fields.get("most", ""))
    if fields.get("which") == "found":
        ids = await _found(context, place_of(f"/sagas?{fields.get('query', '')}"), most + 1)
    else:
        ids = [unquote(line) for line in fields.get("saga", "").split("\n") if line]
    if not ids:
        raise UnusableFields("no saga is chosen: choose some in the list, or take all that the search finds")
    if len(ids) > most:
        raise UnusableFields(f"it would be more than {most:,} sagas: narrow the search, or allow more")
    wanted = {"action": action.removesuffix(" only"), "undo": action != "cancel only"}
    body = NewCommands.model_validate({**wanted, "reason": fields.get("reason", ""), "sagas": {"ids": ids}})
    await begin(request, context, body)
    return Said(f"{body.action}: begun for {plural(len(ids), 'saga')}, the progress is above")


async def _found(context: Context, place: Place, limit: int) -> list[str]:
    try:
        wanted, _ = wanted_of(place)
    except ValueError as error:
        raise UnusableFields(str(error)) from error
    ids = await context.reader.ask(saga_ids, wanted, limit, context.now_ms())
    if not ids and wanted.business_key:
        ids = await context.reader.ask(saga_ids, by_id(wanted), limit, context.now_ms())
    return ids


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UnusableFields(f"{text!r} is no number of sagas")
    if int(text) > IDS_MAX:
        raise UnusableFields(f"a job has {IDS_MAX:,} sagas at most: begin several")
    return int(text)


async def save_view(context: Context, request: Request, fields: Fields) -> Said:
    """Keep the search under a name of whoever asks; raises `UnusableView`."""
    owner = (await asker_of(request).now()).name
    view = SavedView(owner, fields.get("name", ""), fields.get("query", ""), context.now_ms())
    await context.reader.do(lambda: ViewStore(context.reader.engine).save(view))
    return Said("saved: it stands above the list")


async def remove_view(context: Context, request: Request, fields: Fields) -> Said:
    """Forget one."""
    owner, name = (await asker_of(request).now()).name, fields.get("name", "")
    await context.reader.do(lambda: ViewStore(context.reader.engine).remove(owner, name))
    return Said("removed")
