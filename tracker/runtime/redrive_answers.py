"""What services say of events that came back."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Sequence

from msgspec import DecodeError, json, structs

from saga.core.delivery import dead_letter_topic
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC, Receipts, ServiceAnnouncement
from saga.runtime.kafka import ConsumerRecord, TopicPartition, partition_counts, reader, records_before
from saga.runtime.settings import KafkaSettings
from tracker.core.dead_letter import Place, read_letter
from tracker.core.redrive import Heard, Treatment
from tracker.runtime.redrive_ledger import Ledger, Written

_POLL_MS = 200
_CLOCKS_MS = 60_000
"""So far apart may the clocks of two machines be."""

_receipts = json.Decoder(Receipts)
_announcement = json.Decoder(ServiceAnnouncement)


class Answers:
    """What services say of events that came back: on `saga.receipts`, and by letters that name these events.

    Follows both from where the oldest redrive was whose outcome is not known.
    """

    def __init__(self, settings: KafkaSettings, topic: str, ledger: Ledger) -> None:
        self._settings = settings
        self._topic = topic
        self._ledger = ledger
        self._stack = contextlib.AsyncExitStack()
        self._heard: dict[str, Heard] = {}
        self._places: dict[str, Treatment] = {}
        self._assigned: set[TopicPartition] = set()

    async def __aenter__(self) -> "Answers":
        self._consumer = await self._stack.enter_async_context(
            reader(self._settings, isolation_level="read_committed")
        )
        open_ = [each for each in self._ledger.treatments.values() if each.outcome == "redriven"]
        self._places = {treatment.to: treatment for treatment in open_}
        services = {treatment.service for treatment in open_}
        await self._follow(services, min((each.at_ms for each in open_), default=-1))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def write_down(self) -> None:
        """What is known by now of redrives whose outcome was not."""
        if not self._places:
            return
        ends = await self._consumer.end_offsets(sorted(self._assigned))
        async for source, records in records_before(self._consumer, ends):
            self._hear(source.topic, records)
        await self._settle(list(self._places.values()))

    async def wait(self, gone: Sequence[Treatment], seconds: float, stop: asyncio.Event) -> dict[str, Heard]:
        """By letter what its service said, once all have said how it ended or after so many seconds."""
        await self._follow({treatment.service for treatment in gone}, gone[0].at_ms)
        self._places.update((treatment.to, treatment) for treatment in gone)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not stop.is_set():
            if all(self._heard.get(treatment.to, "") not in ("", "retrying") for treatment in gone):
                break
            for source, records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
                self._hear(source.topic, records)
        await self._settle(gone)
        heard: dict[str, Heard] = {each.letter: self._heard.get(each.to, "") for each in gone}
        return heard

    async def _follow(self, services: Iterable[str], since_ms: int) -> None:
        """Read from then on what stands on the topics where these services answer."""
        topics = {RECEIPTS_TOPIC, self._topic, *(dead_letter_topic(name) for name in services if name)}
        known = topics & set(await self._consumer.topics())
        counts = await partition_counts(self._settings, known) if known else {}
        wanted = {TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)}
        new = wanted - self._assigned
        if not new:
            return
        positions = {source: await self._consumer.position(source) for source in self._assigned}
        self._assigned |= new
        self._consumer.assign(sorted(self._assigned))
        ends = await self._consumer.end_offsets(sorted(new))
        since = dict.fromkeys(new, since_ms - _CLOCKS_MS)
        times = await self._consumer.offsets_for_times(since) if since_ms >= 0 else {}
        for source in new:
            found = times.get(source)
            positions[source] = ends[source] if found is None else found.offset
        for source, position in positions.items():
            self._consumer.seek(source, position)

    def _hear(self, topic: str, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            if topic == RECEIPTS_TOPIC:
                self._hear_receipts(record)
            else:
                letter = read_letter(record.headers, Place(topic, record.partition, record.offset), 0)
                self._note(str(letter.original), "failed-again")

    def _hear_receipts(self, record: ConsumerRecord) -> None:
        try:
            batch = _receipts.decode(record.value or b"")
        except (DecodeError, UnicodeDecodeError):
            return  # somebody else's record
        for receipt in batch.receipts:
            to = str(Place(receipt.topic, receipt.partition, receipt.offset))
            treatment = self._places.get(to)
            if treatment is not None and treatment.service in ("", batch.service):
                self._note(to, _HEARD[receipt.outcome])

    def _note(self, to: str, heard: Heard) -> None:
        # A success is the last word: a repeat of the event changes nothing.
        if to in self._places and self._heard.get(to) != "succeeded":
            self._heard[to] = heard

    async def _settle(self, treatments: Iterable[Treatment]) -> None:
        """Write down how they ended, of those that did."""
        ended = {treatment.letter: self._heard.get(treatment.to, "") for treatment in treatments}

        def work() -> Written:
            found = []
            for letter, heard in ended.items():
                now = self._ledger.treatments.get(letter)
                if heard not in ("", "retrying") and now is not None and now.outcome == "redriven":
                    found.append(structs.replace(now, outcome=heard))
            return [], found

        for treatment in await self._ledger.commit(work):
            self._places.pop(treatment.to, None)


_HEARD: dict[str, Heard] = {
    "handled": "succeeded",
    "retrying": "retrying",
    "dead-lettered": "failed-again",
    "ignored": "ignored",
}


async def announced_services(settings: KafkaSettings, topics: Collection[str]) -> set[str]:
    """The services that say what they do with events: of these silence means something."""
    found: set[str] = set()
    if SERVICES_TOPIC in topics:
        async with reader(settings, SERVICES_TOPIC) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            async for _, records in records_before(consumer, ends):
                for record in records:
                    with contextlib.suppress(DecodeError, UnicodeDecodeError):
                        found.add(_announcement.decode(record.value or b"").service)
    return found
