"""Dead letters go back to their topics, in growing batches, none of them twice.

What was redriven is known from `saga.redrives` (`tracker.runtime.redrive_ledger`). So a redrive that was
killed is resumed by giving it again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    Topic,
    TopicPartition,
    ensure_topics,
    records_before,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.dead_letter import Letter, Place, read_letter
from tracker.core.redrive import (
    Heard,
    Outcome,
    Redriven,
    Selection,
    Treatment,
    Verdict,
    batch_size,
    judge,
    parking_topic,
    redriven,
    state,
    why_stop,
    with_edit,
)
from tracker.runtime.letter import RedriveRefused, letters_of, record_at
from tracker.runtime.redrive_answers import Answers, announced_services
from tracker.runtime.redrive_ledger import TOO_LARGE, Ledger, Written

BATCH_MAX = 500
"""Letters in one transaction, whatever limit is asked for."""

_BATCH_BYTES_MAX = 8 * 1024 * 1024
_PARKED = {"max.message.bytes": "2097152"}  # as of the dead letters that it takes


class Manner(NamedTuple):
    """How letters are redriven.

    Attributes
    ----------
    batch : id of the redrive; given again, it goes on where it was.
    limit : the largest batch.
    rate : letters a second at most.
    failed_max : the greatest share of a batch that may fail again before the next one begins.
    replays_max : what has come back so often is parked.
    wait_seconds : how long the services' answers to a batch are waited for; 0 for not at all.
    service : to redrive for, in the place of the one that gave the letter up; "" for every subscriber.
    """

    by: str
    reason: str
    batch: str
    limit: int = 64
    rate: float = 100.0
    failed_max: float = 0.2
    replays_max: int = 3
    wait_seconds: float = 30.0
    service: str | None = None


@dataclass
class Progress:
    """How far a redrive is.

    Attributes
    ----------
    redriven : letters that went back, and of these what services said of them: `heard`.
    parked : that failed again too often.
    left : why letters were left as they are, and how many.
    stopped : why the redrive ended early; "" if it did not.
    """

    redriven: int = 0
    parked: int = 0
    heard: Counter[Heard] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    stopped: str = ""


Told = Callable[[Progress], Awaitable[None]]


async def redrive(
    settings: KafkaSettings, selection: Selection, manner: Manner, told: Told, stop: asyncio.Event
) -> Progress:
    """Redrive the letters that are there now, until all are done, or one batch too many has failed.

    Parameters
    ----------
    told : called after each batch.
    stop : set it to end behind the batch that is under way.

    Raises
    ------
    RedriveRefused
        Another redrive of this topic is under way, or there is no such topic.
    KafkaError
        Kafka gave up. What was committed is known: the same redrive goes on behind it.
    """
    run = _Run(settings, selection, manner, stop)
    async with (
        letters_of(settings, selection.topic) as (letters, ends),
        Ledger(settings, selection.topic) as ledger,
    ):
        await run.through(letters, ends, ledger, told)
    return run.progress


class _Run:
    """One redrive."""

    def __init__(
        self, settings: KafkaSettings, selection: Selection, manner: Manner, stop: asyncio.Event
    ) -> None:
        self.progress = Progress()
        self._settings = settings
        self._selection = selection
        self._manner = manner
        self._stop = stop
        self._topics: frozenset[str] = frozenset()
        self._parking = parking_topic(selection.topic)
        self._parking_made = False
        self._size = 1

    async def through(
        self, letters: AIOKafkaConsumer, ends: dict[TopicPartition, int], ledger: Ledger, told: Told
    ) -> None:
        self._topics = frozenset(await letters.topics())
        announced = await announced_services(self._settings, self._topics)
        self._count_earlier(ledger)
        async with Answers(self._settings, self._selection.topic, ledger) as answers:
            await answers.write_down()  # of a redrive that died before it heard them
            number = 0
            async for batch in self._batches(letters, ends, ledger):
                if self._stop.is_set():
                    self.progress.stopped = "it was told to stop"
                    return
                began = time.monotonic()
                done = await self._commit(batch, ledger)
                number += 1
                self._size = batch_size(number, min(self._manner.limit, BATCH_MAX))
                self._count(done)
                gone = [treatment for treatment in done if treatment.outcome == "redriven"]
                if gone and self._manner.wait_seconds:
                    heard = await answers.wait(gone, self._manner.wait_seconds, self._stop)
                    self.progress.heard.update(heard.values())
                    services = {
                        treatment.letter: treatment.service if treatment.service in announced else ""
                        for treatment in gone
                    }
                    self.progress.stopped = why_stop(heard, services, self._manner.failed_max)
                await told(self.progress)
                if self.progress.stopped:
                    return
                await self._pause(began + len(batch) / self._manner.rate - time.monotonic())

    async def _batches(
        self, letters: AIOKafkaConsumer, ends: dict[TopicPartition, int], ledger: Ledger
    ) -> AsyncIterator[list[tuple[Letter, ConsumerRecord]]]:
        """Letters to be redriven or parked, so many at a time."""
        batch: list[tuple[Letter, ConsumerRecord]] = []
        held = 0
        async for record in self._records(letters, ends):
            at = Place(record.topic, record.partition, record.offset)
            letter = read_letter(record.headers, at, record.timestamp)
            if not self._selection.has(letter):
                continue
            verdict = self._judged(letter, ledger)
            if verdict.what == "leave":
                if not self._is_ours(ledger.treatments.get(str(at))):
                    self.progress.left[verdict.why] += 1
                continue
            batch.append((letter, record))
            held += len(record.value or b"")
            if len(batch) >= self._size or held >= _BATCH_BYTES_MAX:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    async def _records(
        self, letters: AIOKafkaConsumer, ends: dict[TopicPartition, int]
    ) -> AsyncIterator[ConsumerRecord]:
        if self._selection.letters:
            for place in self._selection.letters:
                yield await record_at(letters, place)
            return
        async for source, records in records_before(letters, ends):
            for record in records:
                if record.offset < ends[source]:  # what fails again now is for the next redrive
                    yield record

    def _judged(self, letter: Letter, ledger: Ledger) -> Verdict:
        stands = state(ledger.treatments.get(str(letter.at)), ())
        return judge(
            letter,
            stands,
            named=bool(self._selection.letters),
            replays_max=self._manner.replays_max,
            topics=self._topics,
        )

    async def _commit(self, batch: list[tuple[Letter, ConsumerRecord]], ledger: Ledger) -> list[Treatment]:
        if not self._parking_made and any(self._judged(letter, ledger).what == "park" for letter, _ in batch):
            await ensure_topics(self._settings, [Topic(self._parking, config=_PARKED)])
            self._parking_made = True

        def work() -> Written:
            self._refuse_beside_another(ledger)
            found = [self._moved(letter, record, ledger) for letter, record in batch]
            return [each for each in found if each is not None], []

        try:
            await ledger.commit(work)
        except TOO_LARGE:
            if len(batch) == 1:
                self.progress.left["it is larger than its topic allows"] += 1
                return []
            return [done for one in batch for done in await self._commit([one], ledger)]
        # Not what it returned: an attempt that seemed to fail may have written it.
        treated = [ledger.treatments.get(str(letter.at)) for letter, _ in batch]
        return [each for each in treated if each is not None and self._is_ours(each)]

    def _moved(
        self, letter: Letter, record: ConsumerRecord, ledger: Ledger
    ) -> tuple[Redriven, Treatment] | None:
        manner = self._manner
        before = ledger.treatments.get(str(letter.at))
        what = self._judged(letter, ledger).what
        if what == "leave":
            return None
        outcome: Outcome = "parked" if what == "park" else "redriven"
        service = letter.service if manner.service is None else manner.service
        treatment = Treatment(
            str(letter.at),
            outcome,
            manner.by,
            manner.reason,
            _now_ms(),
            manner.batch,
            letter.replays + (outcome == "redriven"),
            service,
        )
        if before is not None:
            treatment = with_edit(treatment, before)
        if outcome == "parked":
            headers = [(name, value or b"") for name, value in record.headers]
            return Redriven(self._parking, -1, record.key, record.value, headers), treatment
        published = (record.key, record.value, record.headers)
        return redriven(letter, published, before, manner.batch, service), treatment

    def _is_ours(self, treatment: Treatment | None) -> bool:
        return treatment is not None and treatment.batch == self._manner.batch

    def _refuse_beside_another(self, ledger: Ledger) -> None:
        for treatment in ledger.later.values():
            if not self._is_ours(treatment):
                raise RedriveRefused(
                    f"another redrive of {self._selection.topic} is under way, by {treatment.by} "
                    f"({treatment.batch}): wait for it, then give this one again"
                )

    def _count_earlier(self, ledger: Ledger) -> None:
        """What this redrive did before it died."""
        ours = [each for each in ledger.treatments.values() if self._is_ours(each)]
        self._count(ours)
        self.progress.heard.update(_ENDS[each.outcome] for each in ours if each.outcome in _ENDS)

    def _count(self, done: Iterable[Treatment]) -> None:
        for treatment in done:
            if treatment.outcome == "parked":
                self.progress.parked += 1
            elif treatment.to:
                self.progress.redriven += 1

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)


_ENDS: dict[Outcome, Heard] = {
    "succeeded": "succeeded",
    "ignored": "ignored",
    "failed-again": "failed-again",
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
