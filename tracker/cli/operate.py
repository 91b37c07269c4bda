"""`saga cancel`, `compensate`, `pause`, `resume`, `retry`, `skip`, `done`, `note`: what operators ask for.

Exit codes: 0 the tracker has accepted it; 1 it refused, or there is no such saga; 3 it did not answer.
"""

import time
from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.text import Text

from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note as tell
from tracker.cli.console import output
from tracker.cli.find import find_saga
from tracker.cli.plan import plan_picture
from tracker.cli.show import SagaName
from tracker.cli.user import user_name
from tracker.core.chain import business_key
from tracker.core.command import Action
from tracker.core.saga import Saga, decode_saga
from tracker.runtime.commands import UnusableCommand, ask, new_command
from tracker.view.documents.command import CommandAnswer
from tracker.view.documents.undo import PlanDocument, UndoDocument, plan_document, undo_document
from tracker.view.known import read_known
from tracker.view.plan import dry_run
from tracker.view.undo import undo_views

NO_ANSWER = 3

_Reason = Annotated[str, typer.Option(help="Why; it is kept in the history of the saga.")]
_By = Annotated[
    str | None,
    typer.Option(
        help="Who asks. With --url it is whose token it is.",
        envvar="SAGA_BY",
        show_default="your user name on this machine",
    ),
]
_Event = Annotated[
    str,
    typer.Option(help="The event whose undo is meant: its type or id. Without it all that are stuck."),
]
_Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the tracker's answer.")]
_Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")]
_Json = Annotated[bool, typer.Option("--json", help="A JSON object with the answer.")]

TIMEOUT_SECONDS = 10.0


class Manner:
    """How a command is given: by whom and why, how long its answer is waited for, and by which way."""

    def __init__(
        self,
        reason: str,
        by: str | None,
        wait: bool,
        timeout: float,
        as_json: bool,
        servers: str | None,
        url: str | None,
    ) -> None:
        self.reason = reason
        self.by = by
        self.wait_seconds = timeout if wait else 0.0
        self.as_json = as_json
        self.bootstrap_servers = servers
        self.url = url


def cancel(
    saga: SagaName,
    reason: _Reason,
    undo: Annotated[
        bool, typer.Option("--undo/--no-undo", help="Undo first what was done, as the flow file says.")
    ] = True,
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """End a saga: its deadlines stop, and what was done for it is undone.

    With --no-undo nothing is undone; a saga of no flow can be cancelled only so.

    Example: saga cancel o-1042 --reason "the customer called"
    """
    manner = Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url)
    run(_give(saga, "cancel", manner, undo=undo))


def compensate(
    saga: SagaName,
    reason: Annotated[str, typer.Option(help="Why; needed unless it is a dry run.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be undone, in its order, and do nothing.")
    ] = False,
    payloads: Annotated[
        bool,
        typer.Option("--payloads", help="With --dry-run: the payload of each command too, nothing masked."),
    ] = False,
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Undo what was done for a saga, also behind its pivot and after its end.

    Example: saga compensate o-1042 --dry-run, then saga compensate o-1042 --reason "parcel came back"
    """
    manner = Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url)
    if dry_run:
        run(_plan(saga, manner, payloads))
    else:
        run(_give(saga, "compensate", manner))


def pause(
    saga: SagaName,
    reason: _Reason,
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Let a saga stand still: services park its events, its clocks stop, and nothing of it is undone.

    Handlers that are running end. Nothing is lost: `saga resume` goes on where it stood.

    Example: saga pause o-1042 --reason "the address is wrong, the customer is asked"
    """
    run(_give(saga, "pause", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url)))


def resume(
    saga: SagaName,
    reason: _Reason,
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Let a paused saga go on: parked events are handled first, in their order; deadlines have moved.

    Example: saga resume o-1042 --reason "the address is corrected"
    """
    run(_give(saga, "resume", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url)))


def retry(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Attempt an undo that is stuck again, as often as the flow file allows.

    Example: saga retry o-1042 --reason "the payment provider is back"
    """
    run(_give(saga, "retry", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url), event))


def skip(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Leave an undo that is stuck: what it should undo stays as it is, and the others go on.

    Example: saga skip o-1042 --event stock.reserved --reason "the shelf was counted anew"
    """
    run(_give(saga, "skip", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url), event))


def done(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Say that an undo that is stuck was done by hand, and the others go on.

    Example: saga done o-1042 --event payment.charged --reason "refunded in the provider's console"
    """
    run(_give(saga, "done", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url), event))


def note(
    saga: SagaName,
    reason: Annotated[str, typer.Option(help="What is to be kept in the history of the saga.")],
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Write something into the history of a saga; nothing else happens.

    Example: saga note o-1042 --reason "ticket 4711: the customer knows"
    """
    run(_give(saga, "note", Manner(reason, by, wait, timeout, as_json, bootstrap_servers, url)))


async def _give(text: str, action: Action, manner: Manner, event: str = "", *, undo: bool = True) -> int:
    by = manner.by or user_name()
    new_command("", action, by, manner.reason)  # what is wrong with these is told before anybody is asked
    if manner.url:
        from tracker.cli.remote_commands import give  # aiohttp takes its time to import

        given = await give(manner.url, text, action, manner, event, undo)
        return 1 if given is None else _tell(*given, manner)
    settings = await connected(manner.bootstrap_servers)
    saga = await _found(settings, text)
    if saga is None:
        return 1
    name = name_of(saga.id, business_key(saga))
    event_id = undone_event(name, await _undos(settings, saga), event) if event else ""
    command = new_command(saga.id, action, by, manner.reason, event_id, undo)
    _, reply = await ask(settings, command, manner.wait_seconds)
    accepted, message = (None, None) if reply is None else (reply.accepted, reply.message)
    return _tell(name, CommandAnswer(command.id, saga.id, action, accepted, message), manner)


async def _plan(text: str, manner: Manner, payloads: bool) -> int:
    if manner.url:
        from tracker.cli.remote_commands import plan_of  # aiohttp takes its time to import

        found = await plan_of(manner.url, text, payloads)
    else:
        found = await _read_plan(await connected(manner.bootstrap_servers), text, manner.reason, payloads)
    if found is None:
        return 1
    name, told = found
    if manner.as_json:
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    else:
        output().print(plan_picture(name, told))
    return 0


async def _read_plan(
    settings: KafkaSettings, text: str, reason: str, payloads: bool
) -> tuple[str, PlanDocument] | None:
    saga = await _found(settings, text)
    if saga is None:
        return None
    plan = dry_run(saga, await read_known(settings), reason, time.time_ns() // 1_000_000)
    name = name_of(saga.id, business_key(saga))
    if plan is None:
        tell(f"saga: {name} is of no known flow, so nothing says how to undo it")
        return None
    return name, plan_document(saga.id, plan, payloads)


async def _found(settings: KafkaSettings, text: str) -> Saga | None:
    found = await find_saga(settings, text)
    return None if found is None else decode_saga(found[0])


async def _undos(settings: KafkaSettings, saga: Saga) -> list[UndoDocument]:
    known = await read_known(settings)
    return [undo_document(undo) for undo in undo_views(saga, known.flow_of(saga), known.subscriptions)]


def undone_event(name: str, undos: Sequence[UndoDocument], text: str) -> str:
    """The id of the event whose undo is meant by its type, its id, or the beginning or end of that.

    Raises
    ------
    UnusableCommand
        None is meant, or more than one.
    """
    meant = [
        undo.event
        for undo in undos
        if text in (undo.type, undo.event) or undo.event.startswith(text) or undo.event.endswith(text)
    ]
    stuck = [undo.event for undo in undos if undo.status == "stuck" and undo.event in meant]
    found = stuck if len(stuck) == 1 else meant
    if len(found) == 1:
        return found[0]
    if found:
        raise UnusableCommand(
            f"{len(found)} undos are meant by {text}; give the id of one: {', '.join(found)}"
        )
    names = ", ".join(f"{undo.type} ({undo.status})" for undo in undos) or "nothing"
    raise UnusableCommand(f"{name} has no undo of {text}; what is undone: {names}")


def _tell(name: str, answer: CommandAnswer, manner: Manner) -> int:
    action = answer.action
    if manner.as_json:
        print(msgspec_json.format(msgspec_json.encode(answer)).decode())
    if answer.accepted is False:
        tell(f"saga: {action} of {name} is refused: {answer.message}")
        return 1
    if answer.accepted or not manner.wait_seconds:
        if not manner.as_json:
            output().print(Text(f"{action} of {name}: {'accepted' if answer.accepted else 'sent'}"))
        return 0
    tell(
        f"saga: no answer within {manner.wait_seconds:g} s: is a tracker running? "
        f"The command stands on saga.commands and will be obeyed when one reads it."
    )
    return NO_ANSWER


def name_of(saga_id: str, key: str) -> str:
    """A saga as answers name it."""
    return f"{key} ({saga_id})" if key else saga_id
