"""`saga cancel`, `compensate`, `retry`, `skip`, `done`, `note`: what an operator asks of one saga.

Exit codes: 0 the tracker has accepted it; 1 it refused, or there is no such saga; 3 it did not answer.
"""

import getpass
import sys
import time
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.text import Text

from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note as tell
from tracker.cli.console import output
from tracker.cli.find import find_saga
from tracker.cli.plan import plan_json, plan_picture
from tracker.cli.show import SagaName
from tracker.core.chain import business_key
from tracker.core.command import Action
from tracker.core.saga import Saga, decode_saga
from tracker.runtime.commands import Asked, UnusableCommand, ask, new_command
from tracker.view.known import read_known
from tracker.view.plan import dry_run
from tracker.view.undo import undo_views

NO_ANSWER = 3

_Reason = Annotated[str, typer.Option(help="Why; it is kept in the history of the saga.")]
_By = Annotated[
    str | None, typer.Option(help="Who asks. [default: your user name on this machine]", envvar="SAGA_BY")
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
    """How a command is given: by whom and why, and how long its answer is waited for."""

    def __init__(
        self, reason: str, by: str | None, wait: bool, timeout: float, as_json: bool, servers: str | None
    ) -> None:
        self.reason = reason
        self.by = by
        self.wait_seconds = timeout if wait else 0.0
        self.as_json = as_json
        self.bootstrap_servers = servers


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
) -> None:
    """End a saga: its deadlines stop, and what was done for it is undone.

    With --no-undo nothing is undone; a saga of no flow can be cancelled only so.

    Example: saga cancel o-1042 --reason "the customer called"
    """
    manner = Manner(reason, by, wait, timeout, as_json, bootstrap_servers)
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
) -> None:
    """Undo what was done for a saga, also behind its pivot and after its end.

    Example: saga compensate o-1042 --dry-run, then saga compensate o-1042 --reason "parcel came back"
    """
    manner = Manner(reason, by, wait, timeout, as_json, bootstrap_servers)
    if dry_run:
        run(_plan(saga, manner, payloads))
    else:
        run(_give(saga, "compensate", manner))


def retry(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Attempt an undo that is stuck again, as often as the flow file allows.

    Example: saga retry o-1042 --reason "the payment provider is back"
    """
    run(_give(saga, "retry", Manner(reason, by, wait, timeout, as_json, bootstrap_servers), event))


def skip(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Leave an undo that is stuck: what it should undo stays as it is, and the others go on.

    Example: saga skip o-1042 --event stock.reserved --reason "the shelf was counted anew"
    """
    run(_give(saga, "skip", Manner(reason, by, wait, timeout, as_json, bootstrap_servers), event))


def done(
    saga: SagaName,
    reason: _Reason,
    event: _Event = "",
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Say that an undo that is stuck was done by hand, and the others go on.

    Example: saga done o-1042 --event payment.charged --reason "refunded in the provider's console"
    """
    run(_give(saga, "done", Manner(reason, by, wait, timeout, as_json, bootstrap_servers), event))


def note(
    saga: SagaName,
    reason: Annotated[str, typer.Option(help="What is to be kept in the history of the saga.")],
    by: _By = None,
    wait: _Wait = True,
    timeout: _Timeout = TIMEOUT_SECONDS,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Write something into the history of a saga; nothing else happens.

    Example: saga note o-1042 --reason "ticket 4711: the customer knows"
    """
    run(_give(saga, "note", Manner(reason, by, wait, timeout, as_json, bootstrap_servers)))


async def _give(text: str, action: Action, manner: Manner, event: str = "", *, undo: bool = True) -> int:
    by = manner.by or _user()
    new_command("", action, by, manner.reason)  # what is wrong with these is told before Kafka is asked
    settings = await connected(manner.bootstrap_servers)
    saga = await _found(settings, text)
    if saga is None:
        return 1
    event_id = await _undone_event(settings, saga, event) if event else ""
    command = new_command(saga.id, action, by, manner.reason, event_id, undo)
    asked = await ask(settings, command, manner.wait_seconds)
    return _tell(saga, asked, manner)


async def _plan(text: str, manner: Manner, payloads: bool) -> int:
    settings = await connected(manner.bootstrap_servers)
    saga = await _found(settings, text)
    if saga is None:
        return 1
    plan = dry_run(saga, await read_known(settings), manner.reason, time.time_ns() // 1_000_000)
    if plan is None:
        tell(f"saga: {_name(saga)} is of no known flow, so nothing says how to undo it")
        return 1
    if manner.as_json:
        encoded = msgspec_json.encode(plan_json(saga.id, plan, payloads))
        print(msgspec_json.format(encoded).decode())
    else:
        output().print(plan_picture(_name(saga), plan, payloads))
    return 0


async def _found(settings: KafkaSettings, text: str) -> Saga | None:
    found = await find_saga(settings, text)
    return None if found is None else decode_saga(found[0])


async def _undone_event(settings: KafkaSettings, saga: Saga, text: str) -> str:
    """The id of the event whose undo is meant by its type, its id, or the beginning or end of that."""
    known = await read_known(settings)
    undos = undo_views(saga, known.flow_of(saga), known.subscriptions)
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
    raise UnusableCommand(f"{_name(saga)} has no undo of {text}; what is undone: {names}")


def _tell(saga: Saga, asked: Asked, manner: Manner) -> int:
    command, reply = asked
    if manner.as_json:
        told = {
            "command": command.id,
            "saga": saga.id,
            "action": command.action,
            "accepted": None if reply is None else reply.accepted,
            "message": None if reply is None else reply.message,
        }
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    if reply is not None:
        if not reply.accepted:
            tell(f"saga: {command.action} of {_name(saga)} is refused: {reply.message}")
            return 1
        if not manner.as_json:
            output().print(Text(f"{command.action} of {_name(saga)}: accepted"))
        return 0
    if not manner.wait_seconds:
        if not manner.as_json:
            output().print(Text(f"{command.action} of {_name(saga)}: sent"))
        return 0
    tell(
        f"saga: no answer within {manner.wait_seconds:g} s: is a tracker running? "
        f"The command stands on saga.commands and will be obeyed when one reads it."
    )
    return NO_ANSWER


def _name(saga: Saga) -> str:
    key = business_key(saga)
    return f"{key} ({saga.id})" if key else saga.id


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers have users without a name
        print("saga: your user has no name here: say who asks with --by", file=sys.stderr)
        raise typer.Exit(1) from None
