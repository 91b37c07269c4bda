"""Commands of operators, given to the API of a `saga dashboard`."""

from uuid_utils import uuid7

from tracker.cli.operate import Manner, name_of, undone_event
from tracker.cli.remote import Refused, remote, segment
from tracker.cli.remote_sagas import NotOverHttp, find_saga
from tracker.core.command import Action
from tracker.view.documents.command import CommandAnswer
from tracker.view.documents.undo import PlanDocument

_WAIT_SECONDS_MAX = 30.0


async def give(
    url: str, text: str, action: Action, manner: Manner, event: str, undo: bool
) -> tuple[str, CommandAnswer] | None:
    """The name of the saga, and what the tracker says; None if no saga, or more than one, is meant."""
    if manner.wait_seconds > _WAIT_SECONDS_MAX:
        raise NotOverHttp(f"with --url an answer is waited for {_WAIT_SECONDS_MAX:g} s at most")
    async with remote(url) as server:
        saga = await find_saga(server, text)
        if saga is None:
            return None
        name = name_of(saga.id, saga.key)
        undos = [] if saga.compensation is None else saga.compensation.undos
        wish = {
            "action": action,
            "reason": manner.reason,
            "event": undone_event(name, undos, event) if event else "",
            "undo": undo,
        }
        try:
            answer = await server.post(
                f"sagas/{segment(saga.id)}/commands",
                CommandAnswer,
                wish,
                {"wait_seconds": manner.wait_seconds},
                {"Idempotency-Key": str(uuid7())},
            )
        except Refused as error:
            if error.name != "command-refused":
                raise
            answer = CommandAnswer("", saga.id, action, False, str(error))
        return name, answer


async def plan_of(url: str, text: str, payloads: bool) -> tuple[str, PlanDocument] | None:
    """The name of the saga, and what its compensation would do; None as for `give`."""
    if payloads:
        raise NotOverHttp("with --url plans come without payloads: leave --payloads out")
    async with remote(url) as server:
        saga = await find_saga(server, text)
        if saga is None:
            return None
        plan = await server.get(f"sagas/{segment(saga.id)}/plan", PlanDocument)
        return name_of(saga.id, saga.key), plan
