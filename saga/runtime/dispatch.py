"""One record through one service: read it, run its handler, say what became of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from saga.core.context import Context
from saga.core.delivery import (
    Delivery,
    dead_letter,
    done_output,
    error_text,
    parked_key,
    parked_output,
    qualified_name,
    read_delivery,
    retry_output,
    retry_topic,
)
from saga.core.envelope import Envelope
from saga.core.errors import EventTooLarge, NotAnEvent, SchemaViolation
from saga.core.event import Event
from saga.core.handler import Handler
from saga.core.ids import derived_id
from saga.core.memory import Memory
from saga.core.outcome import Outcome, Output
from saga.core.parking import Parking
from saga.core.pause import parked_topic
from saga.core.reading import Addressed, Reader
from saga.core.receipt import Failure, Receipt
from saga.core.receipt import Outcome as Verdict
from saga.core.redrive import Redrive, read_redrive
from saga.core.service import Service
from saga.runtime.deadline import within
from saga.runtime.kafka import ConsumerRecord
from saga.runtime.telemetry import Telemetry

_NONE_BEGUN: dict[int, str] = {}


@dataclass(slots=True)
class _Case:
    """A record that is being handled, and what has been found out about it."""

    record: ConsumerRecord
    delivery: Delivery
    outcome: Outcome
    redrive: Redrive | None
    envelope: Envelope | None = None
    handler: str = ""
    given_up: bool = False
    parked: bool = False

    def receipt(
        self,
        verdict: Verdict,
        at_ms: int,
        duration_ms: float = 0.0,
        failure: Failure | None = None,
        retry_at_ms: int | None = None,
    ) -> Receipt:
        envelope, delivery = self.envelope, self.delivery
        return Receipt(
            None if envelope is None else envelope.id,
            None if envelope is None else envelope.saga,
            None if envelope is None else envelope.type,
            self.handler,
            verdict,
            at_ms,
            duration_ms,
            delivery.topic,
            delivery.partition,
            delivery.offset,
            delivery.attempt,
            failure,
            retry_at_ms,
        )


class Dispatch:
    """Gives records to the handlers of a service.

    Parameters
    ----------
    parking : the sagas that are paused, whose events are parked and not handled.
    event_bytes_max : a handler that returns a larger event has failed.
    finished : takes the outcome of each record, exactly once unless the call is cancelled.
    reported : takes the receipts of attempts after which the record is still being tried.
    """

    def __init__(
        self,
        service: Service,
        memory: Memory,
        telemetry: Telemetry,
        parking: Parking[int],
        *,
        event_bytes_max: int,
        finished: Callable[[Outcome], None],
        reported: Callable[[Receipt], None],
    ) -> None:
        self._service = service
        self._reader = Reader(service)
        self._memory = memory
        self._telemetry = telemetry
        self._parking = parking
        self._parked_topic = parked_topic(service.name)
        self._event_bytes_max = event_bytes_max
        self._finished = finished
        self._reported = reported

    async def handle(self, record: ConsumerRecord) -> None:
        """Handle one record to its end: handled, in a retry topic, parked, dead-lettered or passed over.

        Never raises, except that it can be cancelled; then nothing of the record has been told.
        """
        outcome = Outcome(record.topic, record.partition, record.offset)
        redrive = read_redrive(record.headers)
        ours = redrive is None or redrive.is_for(self._service.name)
        if record.topic == self._parked_topic:
            await self._unpark(record, outcome, redrive)
        elif ours and not self._reader.not_for_us(record.headers):
            delivery = read_delivery(record.headers, record.topic, record.partition, record.offset)
            await self._address(_Case(record, delivery, outcome, redrive))
        self._finished(outcome)

    async def _unpark(self, record: ConsumerRecord, outcome: Outcome, redrive: Redrive | None) -> None:
        """Handle an event that was parked, and say so where it is: unless it is parked once more."""
        delivery = read_delivery(record.headers, record.topic, record.partition, record.offset)
        outcome.origin = delivery.topic, delivery.partition
        case = _Case(record, delivery, outcome, redrive)
        if not self._reader.not_for_us(record.headers):
            await self._address(case)
        if not case.parked:
            outcome.outputs.append(done_output(self._service.name, delivery))

    async def _address(self, case: _Case) -> None:
        record = case.record
        try:
            read = self._reader.read(record.headers, record.value, record.timestamp)
        except NotAnEvent as error:
            self._give_up(case, error, _now_ms())
            return
        case.envelope = read.envelope
        if isinstance(read, Addressed):
            case.handler = read.handler.name
            await self._once(case, read)
        elif read.unknown is not None:
            if self._service.unknown == "dead-letter":
                self._give_up(case, read.unknown, _now_ms())
            else:
                case.outcome.receipts.append(
                    case.receipt("ignored", _now_ms(), failure=_failure(read.unknown))
                )

    async def _once(self, case: _Case, addressed: Addressed) -> None:
        """Run the handler unless it has seen this event: a producer may have sent it twice."""
        key = f"{addressed.envelope.source}\0{addressed.envelope.id}"
        if case.redrive is not None:
            # It was given up, maybe by another instance: this one may remember that it sent it to a retry
            # topic. But no redrive is handled twice.
            key = f"{key}\0{case.redrive.replays}"
        if key in self._memory and case.delivery.attempt == 1:
            repeat = Failure("Repeat", "this service has handled the event before")
            case.outcome.receipts.append(case.receipt("ignored", _now_ms(), failure=repeat))
            return
        if self._parking.active and self._parks(case, addressed.envelope):
            return
        try:
            event = addressed.event()
        except SchemaViolation as error:
            self._give_up(case, error, _now_ms())
            return
        await self._until_settled(case, addressed.envelope, addressed.handler, event)
        if case.given_up or case.parked:
            self._memory.discard(key)  # whoever sends it again wants it to be tried again
        else:
            self._memory.add(key)
            case.outcome.memory_key = key

    async def _until_settled(self, case: _Case, envelope: Envelope, handler: Handler, event: Event) -> None:
        """Attempt after attempt, until one succeeds, or the next is not due here, or there is none."""
        while True:
            at_ms, began = _now_ms(), time.perf_counter()
            try:
                outputs = await self._attempt(case, envelope, handler, event)
            except (Exception, asyncio.CancelledError) as error:
                if _is_our_end(error):
                    raise
                delay_ms = self._failed(case, handler, error, at_ms, _since_ms(began))
                if delay_ms is None:
                    return
                await asyncio.sleep(delay_ms / 1000)
                if self._parking.active and self._parking.paused(envelope.saga):
                    self._park(case, envelope)
                    return
            else:
                case.outcome.outputs.extend(outputs)
                case.outcome.receipts.append(case.receipt("handled", at_ms, _since_ms(began)))
                return

    async def _attempt(
        self, case: _Case, envelope: Envelope, handler: Handler, event: Event
    ) -> Sequence[Output]:
        """One run of the handler, and the records of what it returned."""
        delivery = case.delivery
        name = f"{self._service.name}.{handler.name}"
        seconds = None if handler.timeout_ms is None else handler.timeout_ms / 1000
        with self._telemetry.process(case.record, envelope, name, delivery.attempt):
            if handler.wants_context:
                context = Context(
                    envelope, delivery.topic, delivery.partition, delivery.offset, name, delivery.attempt
                )
                returned = await within(seconds, handler.function(event, context))
                events = handler.checked(returned, context.published)
                begun = context.begun
            else:
                events = handler.checked(await within(seconds, handler.function(event)))
                begun = _NONE_BEGUN
            if not events:
                return []
            at_ms = _now_ms()  # an event happens when its handler is done, not when it began
            return [
                self._output(produced, envelope, name, index, at_ms, begun.get(index))
                for index, produced in enumerate(events)
            ]

    def _output(
        self, event: Event, cause: Envelope, handler: str, index: int, at_ms: int, begun: str | None
    ) -> Output:
        """The record of an event in the saga of its cause, or the first one of the saga `begun`."""
        declared = event.declared
        value = event.write()
        if len(value) > self._event_bytes_max:
            raise EventTooLarge(
                f"{handler} returned a {declared.name} of {len(value):,} bytes; SAGA_EVENT_BYTES_MAX allows "
                f"{self._event_bytes_max:,}. Publish a reference to the data instead"
            )
        envelope = Envelope(
            derived_id(cause.id, handler, index),
            declared.name,
            self._service.name,
            cause.saga if begun is None else begun,
            at_ms,
            cause.id,
            declared.version,
            cause.traceparent,
            cause.tracestate,
            None if begun is None else cause.saga,
        )
        key = event.key() or envelope.saga
        traced = self._telemetry.create(envelope, declared.topic, key)
        return Output(declared.topic, key.encode(), value, traced.headers())

    def _failed(
        self, case: _Case, handler: Handler, error: BaseException, at_ms: int, duration_ms: float
    ) -> int | None:
        """Note a failed attempt; milliseconds to wait here for the next, None if the record is settled."""
        again = handler.retry.after(case.delivery.attempt, error)
        if again is None:
            self._give_up(case, error, at_ms, duration_ms)
            return None
        now_ms = _now_ms()
        due_ms = now_ms + again.delay_ms
        receipt = case.receipt("retrying", at_ms, duration_ms, _failure(error), due_ms)
        case.delivery = case.delivery.failed(now_ms, due_ms)
        if again.in_place:
            self._reported(receipt)
            return again.delay_ms
        record = case.record
        topic = retry_topic(self._service.name, again.delay_ms)
        case.outcome.receipts.append(receipt)
        case.outcome.outputs.append(
            retry_output(topic, case.delivery, record.key, record.value, record.headers)
        )
        return None

    def _parks(self, case: _Case, envelope: Envelope) -> bool:
        """Park the event if its saga is paused, or others before it are parked."""
        delivery, parking = case.delivery, self._parking
        if case.outcome.origin is None:
            waits = parking.waits(envelope.saga, (delivery.topic, delivery.partition))
        else:
            waits = parking.returns(parked_key(delivery))
        if waits or parking.paused(envelope.saga):
            self._park(case, envelope)
        return case.parked

    def _park(self, case: _Case, envelope: Envelope) -> None:
        record, delivery = case.record, case.delivery
        if record.value is None:
            return  # without data no handler is reached, and a parked record without a value is none
        case.parked = True
        place = delivery.topic, delivery.partition
        self._parking.sent(parked_key(delivery), envelope.saga, place)
        case.outcome.receipts.append(case.receipt("parked", _now_ms()))
        case.outcome.outputs.append(
            parked_output(
                self._service.name, envelope.saga, delivery, record.key, record.value, record.headers
            )
        )

    def _give_up(self, case: _Case, error: BaseException, at_ms: int, duration_ms: float = 0.0) -> None:
        record = case.record
        case.given_up = True
        case.outcome.receipts.append(case.receipt("dead-lettered", at_ms, duration_ms, _failure(error)))
        case.outcome.outputs.append(
            dead_letter(
                self._service.name,
                case.handler,
                case.delivery,
                error,
                _now_ms(),
                (record.key, record.value, record.headers),
            )
        )


def _is_our_end(error: BaseException) -> bool:
    """Whether we are cancelled, rather than something that the handler waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> Failure:
    return Failure(qualified_name(error), error_text(error))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _since_ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
