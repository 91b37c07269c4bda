"""What is done about dead letters: redriven, parked, edited, discarded; and what came of it.

A letter itself never changes, since Kafka's records do not. What was done about it stands on the
compacted topic `saga.redrives` under its place, and where it stands follows from that and from the
letters that came later (`state`).
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Literal, NamedTuple

from msgspec import DecodeError, Raw, Struct, json, structs

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.core.errors import SagaError
from saga.core.redrive import Redrive
from tracker.core.dead_letter import Headers, Letter, Place, gave_up, without_errors
from tracker.core.effect import ALERTS_TOPIC, LIFECYCLE_TOPIC
from tracker.core.words import plural

REDRIVES_TOPIC = "saga.redrives"
PARKED_PREFIX = "saga.parked-letters."

ORIGINAL_BYTES_MAX = 64 * 1024
"""A larger original of an edited event is not carried along: the letter has it."""

_TOLD_TO_PEOPLE = frozenset((ALERTS_TOPIC, LIFECYCLE_TOPIC))
_OURS = ("saga.", "saga-", "__")

Outcome = Literal["edited", "redriven", "succeeded", "ignored", "failed-again", "parked", "discarded"]
State = Literal["waiting"] | Outcome

TO_DO: frozenset[State] = frozenset(("waiting", "edited"))
"""The states of letters that a redrive of a group or of all takes."""


STAYS: frozenset[State] = TO_DO | {"parked", "discarded"}
"""The states of letters whose event has not gone back: who names one can redrive, edit or discard it."""

NOT_EDITED = Raw()


class UnusableEdit(SagaError):
    """The new payload can't be taken. The message says why."""


class Treatment(Struct, frozen=True, omit_defaults=True, gc=False):
    """What was done last about one letter; the value of a record on `saga.redrives`, as JSON.

    Attributes
    ----------
    letter : topic/partition/offset, the record's key.
    by, reason : who did it, and why.
    batch : id of the redrive.
    at_ms : when; milliseconds since the Unix epoch.
    replays : how often the event has been redriven, this time included.
    service : that it was redriven for; "" for every subscriber.
    to : where it stands now, topic/partition/offset: on its own topic, or parked.
    payload : JSON that an operator put in the place of its own; empty where it was not edited.
    edited_by : who did that.
    original_sha256 : of the payload that was there before, in hex.
    """

    letter: str
    outcome: Outcome
    by: str
    reason: str
    at_ms: int
    batch: str = ""
    replays: int = 0
    service: str = ""
    to: str = ""
    payload: Raw = NOT_EDITED
    edited_by: str = ""
    original_sha256: str = ""


_treatments = json.Decoder(Treatment)
encode_treatment = json.Encoder().encode


def read_treatment(value: bytes | None) -> Treatment | None:
    """A treatment from its record; None for one that is removed, or that somebody else wrote."""
    try:
        return _treatments.decode(value or b"")
    except (DecodeError, UnicodeDecodeError):
        return None


def with_edit(treatment: Treatment, before: Treatment) -> Treatment:
    """The same with the payload that the letter was given before."""
    return structs.replace(
        treatment,
        payload=before.payload,
        edited_by=before.edited_by,
        original_sha256=before.original_sha256,
    )


def state(treatment: Treatment | None, failed_again: Collection[str]) -> State:
    """Where a letter stands.

    Parameters
    ----------
    failed_again : the places that later letters name as their original ones. If it was redriven to
        one of these, it has become that letter.
    """
    if treatment is None:
        return "waiting"
    if treatment.outcome == "redriven" and treatment.to in failed_again:
        return "failed-again"
    return treatment.outcome


class Selection(NamedTuple):
    """Letters of one dead-letter topic: these, or all that have this service, type and error.

    `service`, `type` and `error` are None where any will do.
    """

    topic: str
    letters: tuple[Place, ...] = ()
    service: str | None = None
    type: str | None = None
    error: str | None = None

    def has(self, letter: Letter) -> bool:
        """Whether this one is meant."""
        if self.letters:
            return letter.at in self.letters
        service = gave_up(letter.service, letter.at.topic)
        wanted = (self.service, service), (self.type, letter.type), (self.error, letter.error)
        return all(wish is None or wish == had for wish, had in wanted)


class Verdict(NamedTuple):
    """What to do about a letter, and why not more."""

    what: Literal["redrive", "park", "leave"]
    why: str = ""


def judge(letter: Letter, now: State, *, named: bool, replays_max: int, topics: Collection[str]) -> Verdict:
    """Whether to redrive it.

    Parameters
    ----------
    named : somebody named this very letter: then also one that is parked, was discarded, or has
        failed again more than `replays_max` times.
    topics : those that exist.
    """
    if now not in (STAYS if named else TO_DO):
        return Verdict("leave", f"it is {now} already")
    if not letter.original.topic:
        return Verdict("leave", "it does not say on which topic it stood")
    topic = letter.original.topic
    if topic.startswith(_OURS) and topic not in _TOLD_TO_PEOPLE:
        return Verdict("leave", f"{topic} is no topic of the business")
    if topic not in topics:
        return Verdict("leave", f"there is no topic {topic}")
    if letter.replays >= replays_max and not named:
        return Verdict("park", f"it was redriven {plural(letter.replays, 'time')}")
    return Verdict("redrive")


class Redriven(NamedTuple):
    """A record to be written; `partition` is that where it stood before, -1 for that of its key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def redriven(
    letter: Letter,
    record: tuple[bytes | None, bytes | None, Headers],
    treatment: Treatment | None,
    batch: str,
    service: str,
) -> Redriven:
    """The event of a letter as it goes back to its topic; `record` is key, value and headers of the letter.

    Key, value and headers are those that were published, but for a payload that was edited.
    """
    key, value, headers = record
    edited = b"" if treatment is None else bytes(treatment.payload)
    original = next((old for name, old in headers if name == "saga_redrive_original"), None)
    if edited and original is None:
        original = value if value is not None and len(value) <= ORIGINAL_BYTES_MAX else b""
    about = Redrive(str(letter.at), batch, letter.replays + 1, service, letter.handler, original)
    return Redriven(
        letter.original.topic,
        letter.original.partition,
        key,
        edited or value,
        [*without_errors(headers), *about.headers()],
    )


def parking_topic(topic: str) -> str:
    """Where letters of this dead-letter topic go that failed again too often."""
    return f"{PARKED_PREFIX}{topic.removeprefix(DEAD_LETTERS_PREFIX)}"


def edit(payload: bytes, bytes_max: int) -> Raw:
    """A payload as an operator gives it.

    Raises
    ------
    UnusableEdit
        It is no JSON, or too large.
    """
    if len(payload) > bytes_max:
        raise UnusableEdit(f"the new payload has {len(payload):,} bytes, {bytes_max:,} are the most")
    try:
        json.decode(payload)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableEdit(f"the new payload is no JSON: {error}") from error
    return Raw(payload.strip())


def digest(value: bytes | None) -> str:
    """SHA-256 of a payload in hex."""
    return sha256(value or b"").hexdigest()


def batch_size(number: int, limit: int) -> int:
    """How many letters the batch of this number has, counted from 0: 1, 2, 4, … up to a limit."""
    return min(1 << min(number, 30), limit)


Heard = Literal["succeeded", "ignored", "failed-again", "retrying", ""]
"""What a service said of an event that came back last; "" if nothing."""


def why_stop(heard: Mapping[str, Heard], services: Mapping[str, str], failed_max: float) -> str:
    """Why to stop behind a batch; "" to go on.

    Parameters
    ----------
    heard : by letter what its service said.
    services : by letter who it is for. Of "" nothing can be heard, and silence is no bad sign.
    failed_max : the greatest share of a batch that may fail again.
    """
    silent = sorted({services[letter] for letter, what in heard.items() if not what and services[letter]})
    failed = sum(what in ("failed-again", "retrying") for what in heard.values())
    if failed > failed_max * len(heard):
        return f"{failed} of the last {len(heard)} failed again"
    if silent:
        return f"{', '.join(silent)} did not answer (is it running?)"
    return ""


class Group(Struct, frozen=True):
    """Letters of one topic with the same service, event type and error.

    `states` counts them by where they stand; `oldest_ms` and `newest_ms` are of when they were given up.
    """

    topic: str
    service: str
    type: str
    error: str
    count: int
    states: dict[str, int]
    oldest_ms: int
    newest_ms: int


def groups(letters: Iterable[tuple[Letter, State]]) -> list[Group]:
    """The groups of these letters: those with most to do first."""
    found: dict[tuple[str, str, str, str], Group] = {}
    for letter, stands in letters:
        key = (letter.at.topic, letter.service, letter.type, letter.error)
        group = found.get(key)
        if group is None:
            group = Group(*key, 0, {}, letter.at_ms, letter.at_ms)
        states = group.states
        states[stands] = states.get(stands, 0) + 1
        oldest, newest = min(group.oldest_ms, letter.at_ms), max(group.newest_ms, letter.at_ms)
        found[key] = Group(*key, group.count + 1, states, oldest, newest)
    return sorted(found.values(), key=lambda group: (-to_do(group), -group.count, group.topic, group.type))


def to_do(group: Group) -> int:
    """How many of its letters a redrive of the group takes."""
    return sum(count for stands, count in group.states.items() if stands in TO_DO)
