"""One record through one service: what comes out, whatever goes in."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import json

from saga import ONCE, Context, DeadLetter, Event, Retry, Service
from saga.core.delivery import Delivery, read_delivery, read_parked, without_delivery
from saga.core.envelope import Envelope, read_envelope
from saga.core.ids import derived_id
from saga.core.memory import Memory
from saga.core.outcome import Outcome, Output
from saga.core.parking import Parking
from saga.core.receipt import Receipt
from saga.core.redrive import Redrive
from saga.core.service import Unknown
from saga.runtime.dispatch import Dispatch
from saga.runtime.kafka import ConsumerRecord
from saga.runtime.telemetry import Silence
from tests.records import record_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = Retry(attempts=3, delays=["0ms"])
LATER = Retry(attempts=3, delays=["1m"])


class BoatSeen(Event, topic="sea", type="boat.seen", key="boat"):
    boat: str
    weight: int = 0


class LampLit(Event, topic="tower", type="lamp.lit", version=3):
    pass


class HornBlown(Event, topic="tower", type="horn.blown", key="boat"):
    boat: str
    sound: str = ""


class StormSeen(Event, topic="sea", type="storm.seen"):
    pass


class Harbour:
    """A service with one handler, driven record by record."""

    def __init__(
        self,
        handle: Callable[[BoatSeen, Context], Any],
        *,
        retry: Retry = ONCE,
        timeout: str | None = None,
        unknown: Unknown = "dead-letter",
        event_bytes_max: int = 1_000,
    ) -> None:
        service = Service("harbour", unknown=unknown)
        self.attempts: list[int] = []

        @service.on(BoatSeen, retry=retry, timeout=timeout, publishes=[HornBlown])
        async def watch(boat: BoatSeen, context: Context) -> LampLit | HornBlown | list[HornBlown] | None:
            self.attempts.append(context.attempt)
            found = handle(boat, context)
            returned: LampLit | HornBlown | list[HornBlown] | None = (
                await found if asyncio.iscoroutine(found) else found
            )
            return returned

        self.memory = Memory(100)
        self.parking: Parking[int] = Parking()
        self.outcomes: list[Outcome] = []
        self.reported: list[Receipt] = []
        self._dispatch = Dispatch(
            service,
            self.memory,
            Silence(),
            self.parking,
            event_bytes_max=event_bytes_max,
            finished=self.outcomes.append,
            reported=self.reported.append,
        )

    async def takes(self, record: ConsumerRecord) -> Outcome:
        """Handle the record to its end."""
        before = len(self.outcomes)
        await self._dispatch.handle(record)
        [outcome] = self.outcomes[before:]
        assert (outcome.topic, outcome.partition, outcome.offset) == (
            record.topic,
            record.partition,
            record.offset,
        )
        json.encode(outcome.receipts)  # what the session does with them
        return outcome


def boat(
    event_id: str = "e-1",
    *,
    event_type: str = "boat.seen",
    data: bytes | None = b'{"boat": "b-7"}',
    **more: Any,
) -> ConsumerRecord:
    envelope = Envelope(event_id, event_type, "sailor", "saga-1", 0, "e-0", 1, TRACEPARENT, "vendor=x")
    return record_of(
        [*envelope.headers(), ("mine", b"kept")], data, topic="sea", key=b"b-7", offset=42, **more
    )


def again(output: Output) -> ConsumerRecord:
    """The record that a retry topic gives back."""
    return record_of(output.headers, output.value, topic=output.topic, key=output.key, offset=1)


def raises(error: BaseException) -> Callable[[BoatSeen, Context], None]:
    def handle(boat: BoatSeen, context: Context) -> None:
        raise error

    return handle


def verdicts(outcome: Outcome) -> list[tuple[str, int]]:
    return [(receipt.outcome, receipt.attempt) for receipt in outcome.receipts]


def only(outcome: Outcome) -> tuple[Output, Receipt]:
    [output], [receipt] = outcome.outputs, outcome.receipts
    return output, receipt


async def test_an_event_that_was_given_up_is_tried_when_it_is_sent_again() -> None:
    failing = [ValueError("down"), None]

    def handle(boat: BoatSeen, context: Context) -> LampLit:
        error = failing.pop(0)
        if error is not None:
            raise error
        return LampLit()

    harbour = Harbour(handle, retry=ONCE)

    assert verdicts(await harbour.takes(boat())) == [("dead-lettered", 1)]
    assert verdicts(await harbour.takes(boat())) == [("handled", 1)]
    assert verdicts(await harbour.takes(boat())) == [("ignored", 1)]


async def test_an_event_happens_when_its_handler_is_done() -> None:
    async def slow() -> LampLit:
        await asyncio.sleep(0.05)
        return LampLit()

    output, receipt = only(await Harbour(lambda boat, _: slow()).takes(boat()))

    assert read_envelope(output.headers, record_time_ms=0).time_ms >= receipt.at_ms + 50


async def test_what_a_handler_returns_is_published_as_a_consequence_of_its_event() -> None:
    began_ms = time.time_ns() // 1_000_000
    output, receipt = only(await Harbour(lambda boat, _: LampLit()).takes(boat()))

    envelope = read_envelope(output.headers, record_time_ms=0)
    assert (output.topic, output.key, output.value) == ("tower", b"saga-1", b"{}")
    assert began_ms <= envelope.time_ms <= time.time_ns() // 1_000_000
    assert envelope == Envelope(
        derived_id("e-1", "harbour.watch", 0),
        "lamp.lit",
        "harbour",
        "saga-1",
        envelope.time_ms,
        "e-1",
        3,
        TRACEPARENT,
        "vendor=x",
    )
    assert "mine" not in dict(output.headers)
    assert receipt.duration_ms >= 0
    assert receipt == Receipt(
        "e-1", "saga-1", "boat.seen", "watch", "handled", receipt.at_ms, receipt.duration_ms, "sea", 0, 42
    )


async def test_several_events_have_ids_of_their_own_and_those_of_the_context_come_first() -> None:
    def handle(boat: BoatSeen, context: Context) -> list[HornBlown]:
        context.publish(HornBlown(boat="early"))
        return [HornBlown(boat="b-1"), HornBlown(boat="b-2")]

    outcome = await Harbour(handle).takes(boat())

    assert [output.key for output in outcome.outputs] == [b"early", b"b-1", b"b-2"]
    assert [dict(output.headers)["ce_id"].decode() for output in outcome.outputs] == [
        derived_id("e-1", "harbour.watch", index) for index in range(3)
    ]


async def test_an_event_may_begin_a_saga_of_its_own() -> None:
    begun: list[str] = []

    def handle(boat: BoatSeen, context: Context) -> LampLit:
        context.publish(HornBlown(boat="early"))
        begun.append(context.begin(LampLit()))
        begun.append(context.begin(HornBlown(boat="b-1")))
        return LampLit()

    first = await Harbour(handle).takes(boat())
    again = await Harbour(handle).takes(boat())

    assert begun[:2] == begun[2:], "a repeated run begins the same sagas"
    told = [read_envelope(output.headers, record_time_ms=0) for output in first.outputs]
    ids = [derived_id("e-1", "harbour.watch", index) for index in range(4)]
    assert [envelope.id for envelope in told] == ids
    assert begun[:2] == ids[1:3]
    assert [envelope.saga for envelope in told] == ["saga-1", *ids[1:3], "saga-1"]
    assert [envelope.parent for envelope in told] == [None, "saga-1", "saga-1", None]
    assert {envelope.cause for envelope in told} == {"e-1"}
    assert [output.key for output in first.outputs] == [b"early", ids[1].encode(), b"b-1", b"saga-1"]
    assert [dict(output.headers)["ce_id"].decode() for output in again.outputs] == ids


async def test_what_a_child_saga_leads_to_is_of_that_saga_alone() -> None:
    first = Envelope("e-1", "boat.seen", "sailor", "child-1", 0, "e-0", parent="saga-1").headers()
    harbour = Harbour(lambda boat, _: LampLit())
    outcome = await harbour.takes(record_of(first, b'{"boat": "b-7"}', topic="sea"))

    envelope = read_envelope(outcome.outputs[0].headers, record_time_ms=0)
    assert (envelope.saga, envelope.cause, envelope.parent) == ("child-1", "e-1", None)


async def test_a_saga_begins_with_a_declared_event_only() -> None:
    def handle(boat: BoatSeen, context: Context) -> None:
        context.begin(StormSeen())

    _, receipt = only(await Harbour(handle).takes(boat()))

    assert receipt.failure is not None
    assert receipt.failure.type == "saga.core.errors.UndeclaredEvent"


async def test_a_handler_that_publishes_nothing_leaves_a_receipt() -> None:
    outcome = await Harbour(lambda boat, _: None).takes(boat())

    assert verdicts(outcome) == [("handled", 1)]
    assert not outcome.outputs
    assert outcome.memory_key == "sailor\0e-1"


async def test_a_known_event_of_others_is_passed_over_without_a_word() -> None:
    harbour = Harbour(lambda boat, _: None)
    outcome = await harbour.takes(boat(event_type="storm.seen", data=b"not json"))

    assert (outcome.outputs, outcome.receipts, outcome.memory_key) == ([], [], None)
    assert not harbour.attempts


async def test_an_unknown_event_is_dead_lettered() -> None:
    record = boat(event_type="whale.seen")
    output, receipt = only(await Harbour(lambda boat, _: None).takes(record))

    assert (output.topic, output.key, output.value) == ("saga.dlq.harbour", record.key, record.value)
    assert output.headers[: len(record.headers)] == list(record.headers)
    assert (receipt.outcome, receipt.handler, receipt.type) == ("dead-lettered", "", "whale.seen")
    assert receipt.failure is not None
    assert receipt.failure.type == "saga.core.errors.UnknownEventType"


async def test_an_unknown_event_is_ignored_when_the_service_says_so() -> None:
    outcome = await Harbour(lambda boat, _: None, unknown="ignore").takes(boat(event_type="whale.seen"))

    assert verdicts(outcome) == [("ignored", 1)]
    assert not outcome.outputs


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_id", b"\xff"), ("ce_type", b"boat.seen"), ("ce_source", b"s")],
        [("ce_id", b"e"), ("ce_type", b"boat.seen"), ("ce_source", b"s"), ("ce_time", b"noon")],
        [("ce_id", None), ("ce_type", None), ("saga_retry_attempt", None)],
        [("content-type", b"application/cloudevents+json")],
    ],
)
async def test_a_record_that_is_no_event_is_dead_lettered_as_it_is(headers: list[tuple[str, bytes]]) -> None:
    output, receipt = only(
        await Harbour(lambda boat, _: None).takes(record_of(headers, b"\x00", topic="sea"))
    )

    assert output.value == b"\x00"
    assert dict(output.headers)["__streams.errors.exception"] == b"saga.core.errors.NotAnEvent"
    assert (receipt.event, receipt.saga, receipt.type, receipt.outcome) == (None, None, None, "dead-lettered")


@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"boat": 7}', b"[" * 100_000])
async def test_data_that_does_not_fit_is_dead_lettered_without_a_run(data: bytes | None) -> None:
    harbour = Harbour(lambda boat, _: None, retry=NOW)
    output, receipt = only(await harbour.takes(boat(data=data)))

    assert not harbour.attempts
    assert (output.topic, output.value) == ("saga.dlq.harbour", data)
    assert (receipt.outcome, receipt.handler) == ("dead-lettered", "watch")


async def test_an_undeclared_event_is_dead_lettered_at_once() -> None:
    harbour = Harbour(lambda boat, _: StormSeen(), retry=NOW)
    output, receipt = only(await harbour.takes(boat()))

    assert harbour.attempts == [1]
    assert dict(output.headers)["__streams.errors.exception"] == b"saga.core.errors.UndeclaredEvent"
    assert receipt.outcome == "dead-lettered"


async def test_a_dead_letter_is_given_up_at_once_with_its_reason() -> None:
    harbour = Harbour(raises(DeadLetter("no such boat")), retry=LATER)
    output, receipt = only(await harbour.takes(boat()))

    assert harbour.attempts == [1]
    assert output.topic == "saga.dlq.harbour"
    assert dict(output.headers)["__streams.errors.message"] == b"no such boat"
    assert dict(output.headers)["saga_dlq_handler"] == b"watch"
    assert receipt.failure is not None
    assert receipt.failure.message == "no such boat"


async def test_an_event_too_large_is_given_up_and_the_setting_is_named() -> None:
    harbour = Harbour(lambda boat, _: HornBlown(boat="b", sound="u" * 2_000), retry=NOW)
    output, _ = only(await harbour.takes(boat()))

    assert harbour.attempts == [1]
    assert b"SAGA_EVENT_BYTES_MAX allows 1,000" in dict(output.headers)["__streams.errors.message"]


async def test_a_short_delay_is_waited_here_and_each_failed_attempt_is_reported() -> None:
    def handle(boat: BoatSeen, context: Context) -> LampLit:
        if context.attempt < 3:
            context.publish(HornBlown(boat="lost"))
            raise ConnectionError("fog")
        return LampLit()

    harbour = Harbour(handle, retry=NOW)
    output, receipt = only(await harbour.takes(boat()))

    assert harbour.attempts == [1, 2, 3]
    assert [(each.outcome, each.attempt) for each in harbour.reported] == [("retrying", 1), ("retrying", 2)]
    assert harbour.reported[0].retry_at_ms is not None
    assert (receipt.outcome, receipt.attempt) == ("handled", 3)
    assert dict(output.headers)["ce_id"].decode() == derived_id("e-1", "harbour.watch", 0)


async def test_attempts_have_an_end() -> None:
    harbour = Harbour(raises(ConnectionError("fog")), retry=NOW)
    output, receipt = only(await harbour.takes(boat()))

    assert harbour.attempts == [1, 2, 3]
    assert output.topic == "saga.dlq.harbour"
    assert dict(output.headers)["saga_dlq_attempts"] == b"3"
    assert (receipt.outcome, receipt.attempt) == ("dead-lettered", 3)


async def test_a_long_delay_is_waited_in_a_retry_topic_over_any_number_of_attempts() -> None:
    harbour = Harbour(raises(ConnectionError("fog")), retry=LATER)
    record = boat()
    first, receipt = only(await harbour.takes(record))

    assert first.topic == "saga.retry.harbour.1m"
    assert (first.key, first.value) == (record.key, record.value)
    assert without_delivery(first.headers) == list(record.headers)
    delivery = read_delivery(first.headers, first.topic, 0, 1)
    assert (delivery.topic, delivery.partition, delivery.offset, delivery.attempt) == ("sea", 0, 42, 2)
    assert delivery.due_ms == receipt.retry_at_ms
    assert delivery.due_ms - receipt.at_ms >= 60_000
    assert (receipt.outcome, receipt.attempt) == ("retrying", 1)

    second, receipt = only(await harbour.takes(again(first)))
    assert (receipt.outcome, receipt.attempt, receipt.topic, receipt.offset) == ("retrying", 2, "sea", 42)
    last, receipt = only(await harbour.takes(again(second)))
    assert (receipt.outcome, receipt.attempt) == ("dead-lettered", 3)
    assert harbour.attempts == [1, 2, 3]
    assert last.headers[: len(record.headers)] == list(record.headers)
    assert dict(last.headers)["saga_dlq_first_failed_ms"].decode() == str(delivery.first_failed_ms)
    assert dict(last.headers)["__streams.errors.topic"] == b"sea"


async def test_events_of_a_retried_run_carry_nothing_of_its_attempts() -> None:
    first, _ = only(await Harbour(raises(ConnectionError("fog")), retry=LATER).takes(boat()))
    output, receipt = only(await Harbour(lambda boat, _: LampLit(), retry=LATER).takes(again(first)))

    assert receipt.attempt == 2
    assert not [name for name, _ in output.headers if name.startswith(("saga_", "__"))]
    assert read_delivery(output.headers, "tower", 1, 2) == Delivery("tower", 1, 2)


async def test_an_attempt_that_takes_too_long_has_failed() -> None:
    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    output, receipt = only(await Harbour(lambda boat, _: hangs(), timeout="1ms").takes(boat()))

    assert output.topic == "saga.dlq.harbour"
    assert receipt.failure is not None
    assert receipt.failure.type == "TimeoutError"


async def test_an_event_that_comes_twice_is_handled_once() -> None:
    harbour = Harbour(lambda boat, _: LampLit())
    await harbour.takes(boat())
    repeat = await harbour.takes(boat(partition=1))

    assert harbour.attempts == [1]
    assert (repeat.outputs, repeat.memory_key) == ([], None)
    assert verdicts(repeat) == [("ignored", 1)]
    assert repeat.receipts[0].failure is not None
    assert repeat.receipts[0].failure.type == "Repeat"


async def test_an_event_that_was_dropped_is_handled_when_it_comes_again() -> None:
    harbour = Harbour(lambda boat, _: LampLit())
    dropped = await harbour.takes(boat())
    harbour.memory.discard(dropped.memory_key or "")
    outcome = await harbour.takes(boat())

    assert harbour.attempts == [1, 1]
    assert outcome.outputs[0].headers[2] == dropped.outputs[0].headers[2]  # the same ce_id


async def test_the_same_id_from_another_source_is_another_event() -> None:
    harbour = Harbour(lambda boat, _: None)
    await harbour.takes(boat())
    other = Envelope("e-1", "boat.seen", "pilot", "saga-1", 0).headers()
    await harbour.takes(record_of(other, b'{"boat": "b"}', topic="sea"))

    assert harbour.attempts == [1, 1]


async def test_a_cancelled_run_tells_nothing() -> None:
    begun = asyncio.Event()

    async def hangs() -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    harbour = Harbour(lambda boat, _: hangs(), retry=NOW)
    running = asyncio.create_task(harbour.takes(boat()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not harbour.outcomes
    assert not harbour.reported
    assert "sailor\0e-1" not in harbour.memory


async def test_waiting_for_something_that_is_cancelled_is_a_failure_like_any_other() -> None:
    async def waits_for_cancelled() -> None:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    harbour = Harbour(lambda boat, _: waits_for_cancelled(), retry=NOW)
    output, receipt = only(await harbour.takes(boat()))

    assert harbour.attempts == [1, 2, 3]
    assert output.topic == "saga.dlq.harbour"
    assert receipt.failure is not None
    assert receipt.failure.type == "asyncio.exceptions.CancelledError"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("caf\udce9"), Unspeakable(), RecursionError(), ExceptionGroup("two", [KeyError(1)])],
)
async def test_whatever_a_handler_raises_can_be_written_down(error: Exception) -> None:
    output, receipt = only(await Harbour(raises(error)).takes(boat()))

    assert output.topic == "saga.dlq.harbour"
    assert receipt.outcome == "dead-lettered"


async def test_the_context_tells_where_the_event_stood_first() -> None:
    seen: list[Context] = []

    def handle(boat: BoatSeen, context: Context) -> None:
        seen.append(context)
        raise ConnectionError("fog")

    harbour = Harbour(handle, retry=LATER)
    first, _ = only(await harbour.takes(boat()))
    await harbour.takes(again(first))

    assert [(each.topic, each.partition, each.offset, each.attempt) for each in seen] == [
        ("sea", 0, 42, 1),
        ("sea", 0, 42, 2),
    ]
    assert {each.idempotency_key for each in seen} == {"harbour.watch:e-1"}
    assert {each.handler for each in seen} == {"harbour.watch"}


def back(number: int = 1, service: str = "harbour", event_id: str = "e-1") -> ConsumerRecord:
    """The event as a redrive puts it on its topic once more."""
    first = boat(event_id)
    redrive = Redrive("saga.dlq.harbour/0/5", "b-1", number, service, "watch")
    return replace(first, headers=(*first.headers, *redrive.headers()), offset=99)


async def test_a_redriven_event_is_handled_although_it_is_remembered() -> None:
    harbour = Harbour(lambda boat, _: None, retry=LATER)
    harbour.memory.add("sailor\0e-1")  # as of an instance that sent it to a retry topic
    outcome = await harbour.takes(back())
    repeat = await harbour.takes(back())
    next_time = await harbour.takes(back(2))

    assert verdicts(outcome) == verdicts(next_time) == [("handled", 1)]
    assert verdicts(repeat) == [("ignored", 1)]


async def test_an_event_that_is_redriven_for_another_service_is_passed_over() -> None:
    harbour = Harbour(lambda boat, _: LampLit())
    outcome = await harbour.takes(back(service="pilot"))

    assert (outcome.outputs, outcome.receipts, harbour.attempts) == ([], [], [])
    assert verdicts(await harbour.takes(back(service=""))) == [("handled", 1)]


async def test_a_redriven_event_that_fails_again_says_how_often_it_was_redriven() -> None:
    harbour = Harbour(raises(ConnectionError("fog")), retry=LATER)
    first, _ = only(await harbour.takes(back(3)))
    second, _ = only(await harbour.takes(again(first)))
    letter, _ = only(await harbour.takes(again(second)))

    assert harbour.attempts == [1, 2, 3]
    assert letter.topic == "saga.dlq.harbour"
    added = dict(letter.headers)
    assert (added["saga_dlq_replays"], added["saga_redrive_letter"]) == (b"3", b"saga.dlq.harbour/0/5")
    assert added["__streams.errors.offset"] == b"99"


async def test_what_a_handler_returns_for_a_redriven_event_knows_nothing_of_it() -> None:
    output, _ = only(await Harbour(lambda boat, _: LampLit()).takes(back()))

    assert not [name for name, _ in output.headers if name.startswith("saga_")]


def paused(harbour: Harbour) -> Harbour:
    harbour.parking.pause("saga-1")
    return harbour


def parks(harbour: Harbour, outcome: Outcome) -> ConsumerRecord:
    """What the parked topic gives back, once it is read back there."""
    [output] = outcome.outputs
    parked = read_parked(output.headers)
    assert parked is not None
    record = record_of(output.headers, output.value, topic=output.topic, key=parked.key, offset=5)
    assert output.key is not None
    harbour.parking.put(output.key, parked.saga, ("sea", record.partition), record.offset, record.offset)
    return record


async def test_an_event_of_a_paused_saga_is_parked_as_it_is() -> None:
    harbour = paused(Harbour(lambda boat, context: None))

    outcome = await harbour.takes(boat())

    output, receipt = only(outcome)
    assert harbour.attempts == []
    assert (receipt.outcome, receipt.attempt, receipt.topic, receipt.offset) == ("parked", 1, "sea", 42)
    assert (output.topic, output.key) == ("saga.parked.harbour", b"sea/0/42")
    assert read_parked(output.headers) == ("saga-1", b"b-7")
    assert output.value == boat().value
    assert without_delivery(output.headers) == list(boat().headers)


async def test_a_parked_event_is_handled_as_if_it_came_now_and_forgotten() -> None:
    harbour = paused(Harbour(lambda boat, context: HornBlown(boat=boat.boat)))
    record = parks(harbour, await harbour.takes(boat()))
    harbour.parking.resume("saga-1")

    outcome = await harbour.takes(record)

    horn, done = outcome.outputs
    assert horn.key == b"b-7"
    assert (done.topic, done.key, done.value) == ("saga.parked.harbour", b"sea/0/42", None)
    assert (outcome.origin, verdicts(outcome)) == (("sea", 0), [("handled", 1)])
    [receipt] = outcome.receipts
    assert (receipt.topic, receipt.offset) == ("sea", 42)


async def test_what_comes_before_the_parked_ones_are_handled_is_parked_behind_them() -> None:
    harbour = paused(Harbour(lambda boat, context: None))
    parks(harbour, await harbour.takes(boat()))
    harbour.parking.resume("saga-1")

    assert verdicts(await harbour.takes(boat("e-2"))) == [("parked", 1)]


async def test_a_parked_event_whose_saga_is_paused_again_stays_where_it_is() -> None:
    harbour = paused(Harbour(lambda boat, context: None))
    record = parks(harbour, await harbour.takes(boat()))

    outcome = await harbour.takes(record)

    output, receipt = only(outcome)
    assert (receipt.outcome, output.key) == ("parked", b"sea/0/42")
    assert output.value is not None


async def test_attempts_are_counted_on_through_a_pause() -> None:
    harbour: Harbour

    def handle(boat: BoatSeen, context: Context) -> None:
        harbour.parking.pause("saga-1")
        raise ValueError("down")

    harbour = Harbour(handle, retry=NOW)
    record = parks(harbour, await harbour.takes(boat()))
    assert harbour.attempts == [1]
    harbour.parking.resume("saga-1")

    await harbour.takes(record)

    assert harbour.attempts == [1, 2]


async def test_an_event_without_data_is_given_up_paused_or_not() -> None:
    harbour = paused(Harbour(lambda boat, context: None))

    assert verdicts(await harbour.takes(boat(data=None))) == [("dead-lettered", 1)]


async def test_a_paused_saga_holds_up_no_other() -> None:
    harbour = Harbour(lambda boat, context: None)
    harbour.parking.pause("another")

    assert verdicts(await harbour.takes(boat())) == [("handled", 1)]
