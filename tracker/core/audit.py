"""What people did, or tried: records of the topic `saga.audit`, written before the thing is done."""

from typing import Literal

from msgspec import Struct

AUDIT_TOPIC = "saga.audit"

Outcome = Literal["allowed", "refused"]


class AuditRecord(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """One thing that somebody asked for; JSON, and its key is `by`.

    Attributes
    ----------
    id : unique, in the order of time (UUIDv7).
    at_ms : milliseconds since the Unix epoch.
    by, role : who asked, and the role they had: viewer, operator or admin; "" without any.
    action : what for: `sign-in`, `sign-out`, `token.create`, `token.revoke`, `unmask`, `cancel` ...
    object : what it is done to: the id of a saga, a token, an event; "" for none.
    reason : theirs; of what was refused, ours.
    from_ : the address it came from; `local` for a command on the server's own machine.
    outcome : `allowed` says that it was about to be done, not that it succeeded.
    """

    id: str
    at_ms: int
    by: str
    role: str
    action: str
    object: str
    reason: str
    from_: str
    outcome: Outcome
