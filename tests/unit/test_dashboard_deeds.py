"""What buttons of the list of sagas ask for: one action for many, and saved views."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import Request
from sqlalchemy import select

from saga.core.errors import SagaError
from saga.runtime.settings import KafkaSettings
from tests.access_kit import KeptAudit, access_of
from tests.api_client import model_of
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, completed, of, open_, stuck
from tracker.access.access import Asker, Credentials
from tracker.access.permit import SCOPE_KEY
from tracker.api.context import Context
from tracker.dashboard.deeds import do
from tracker.view.model.views import (
    NAME_LENGTH_MAX,
    VIEWS_MAX,
    SavedView,
    UnusableView,
    ViewStore,
    saved_views,
)
from tracker.view.model.write import begin_anew
from tracker.view.queries.jobs import items_of, newest_commands
from tracker.view.queries.live import Live
from tracker.view.queries.views import views_of

ODD_ID = "an id\nof two lines, ünd more/&"
SAGAS = {"a-open": of(open_()), "b-open": of(open_()), "c-done": of(completed()), ODD_ID: of(stuck())}
PAUSE = {"action": "pause", "which": "found", "query": "", "most": "1000", "reason": "the bank is down"}


@contextlib.asynccontextmanager
async def desk(path: Path) -> AsyncIterator[tuple[Context, Request, KeptAudit]]:
    """Somebody at this machine, who may do anything."""
    reader = model_of(path, SAGAS)
    audit = KeptAudit()
    asker = Asker(access_of(reader.engine, audit=audit), Credentials(), "127.0.0.1", None)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    context = Context(settings, reader, Live(reader), lambda: KNOWN, lambda: NOON_MS + 600)
    try:
        yield context, Request({"type": "http", "headers": [], SCOPE_KEY: asker}), audit
    finally:
        reader.close()
        reader.engine.dispose()


async def asked(context: Context) -> list[tuple[str, list[str]]]:
    """Each job, and its sagas."""
    found = await context.reader.ask(newest_commands, 0, 10)
    return [
        (job.action, [item.saga for item in await context.reader.ask(items_of, job.id, None, -1, 100)])
        for job in found
    ]


@pytest.mark.parametrize(
    ("query", "sagas"),
    [
        ("status=open", ["a-open", "b-open"]),
        ("where=parcel.dispatched", ["c-done"]),
        ("q=a-op", ["a-open"]),
        ("q=o-1042&status=completed", ["c-done"]),
    ],
)
async def test_an_action_is_for_what_the_list_shows(tmp_path: Path, query: str, sagas: list[str]) -> None:
    async with desk(tmp_path) as (context, request, audit):
        said = await do(context, request, "sagas act", {**PAUSE, "query": query})

        assert await asked(context) == [("pause", sagas)]
        assert said.text.startswith("pause: begun for")
        assert [(each.action, each.reason) for each in audit.records] == [("job.pause", "the bank is down")]


async def test_those_that_are_chosen_are_meant_whatever_their_ids_are(tmp_path: Path) -> None:
    async with desk(tmp_path) as (context, request, _):
        chosen = "\n".join(quote(id_, safe="") for id_ in ("a-open", ODD_ID))
        fields = {**PAUSE, "action": "cancel only", "which": "chosen", "saga": chosen}
        await do(context, request, "sagas act", fields)

        assert await asked(context) == [("cancel", ["a-open", ODD_ID])]
        (job,) = await context.reader.ask(newest_commands, 0, 10)
        assert '"undo":false' in job.about


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"which": "chosen"}, "no saga is chosen"),
        ({"query": "status=failed"}, "no saga is chosen"),
        ({"most": "3"}, "more than 3 sagas"),
        ({"most": "-1"}, "no number"),
        ({"most": "10001"}, "begin several"),
        ({"query": "status=nonsense"}, "nonsense"),
        ({"action": "explode"}, "action"),
        ({"reason": "  "}, "reason"),
    ],
)
async def test_what_is_unclear_is_done_to_nobody(tmp_path: Path, wrong: dict[str, str], why: str) -> None:
    async with desk(tmp_path) as (context, request, audit):
        with pytest.raises(SagaError, match=why):
            await do(context, request, "sagas act", {**PAUSE, **wrong})
        assert (await asked(context), audit.records) == ([], [])


async def test_a_view_is_kept_replaced_and_removed_by_its_owner(tmp_path: Path) -> None:
    async with desk(tmp_path) as (context, request, _):
        store = ViewStore(context.reader.engine)
        store.save(SavedView("somebody else", "stuck ones", "status=open", 1))
        for query in ("status=stuck", "status=stuck&order=stalest"):
            await do(context, request, "view save", {"name": " stuck ones ", "query": query})
        mine = owners(context)
        assert mine.pop("somebody else") == ["status=open"]
        assert list(mine.values()) == [["status=stuck&order=stalest"]]
        await do(context, request, "view remove", {"name": "stuck ones"})
        assert owners(context) == {"somebody else": ["status=open"]}


def owners(context: Context) -> dict[str, list[str]]:
    """Who has which searches."""
    found: dict[str, list[str]] = {}
    with context.reader.engine.connect() as connection:
        for owner in connection.scalars(select(saved_views.c.owner).distinct()):
            found[owner] = [view.query for view in views_of(connection, owner)]
    return found


async def test_a_view_needs_a_name_and_there_is_a_limit(tmp_path: Path) -> None:
    async with desk(tmp_path) as (context, request, _):
        store = ViewStore(context.reader.engine)
        for name in ("", "  ", "n" * (NAME_LENGTH_MAX + 1)):
            with pytest.raises(UnusableView, match="name"):
                await do(context, request, "view save", {"name": name, "query": "status=stuck"})
        for number in range(VIEWS_MAX):
            store.save(SavedView("me", f"view {number}", "q=\0", number))
        with pytest.raises(UnusableView, match="remove one"):
            store.save(SavedView("me", "one too many", "", 0))
        store.save(SavedView("me", "view 7", "status=stuck", 0))


async def test_a_rebuild_leaves_views_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as (context, _, __):
        ViewStore(context.reader.engine).save(SavedView("me", "mine", "status=stuck", 1))
        with context.reader.engine.begin() as connection:
            begin_anew(connection, "changelog", "cluster-2", {0: 0})
            assert [view.name for view in views_of(connection, "me")] == ["mine"]
