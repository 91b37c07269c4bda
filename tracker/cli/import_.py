"""`saga import`: the rows of a CSV file as records without headers, as many producers write them."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from saga.core.errors import SagaError
from saga.runtime.kafka import (
    KafkaError,
    Topic,
    ensure_topics,
    partition_counts,
    producing,
)
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note
from tracker.cli.csv_file import PROBLEMS_MAX, CsvFile
from tracker.cli.progress import progress
from tracker.core.sources import TopicSelection, business_topics

_UNDER_WAY_MAX = 10_000
"""Records that are sent and not yet delivered: so much memory, whatever the size of the file."""

_INTERRUPTED = 130
"""What shells know as the end by Ctrl-C: not all rows are in."""


class OtherTopic(SagaError):
    """The topic exists, and not as it was asked for."""


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="A CSV file whose first line is a header.")
    ],
    topic: Annotated[str, typer.Option(help="Where the rows go; made if it does not exist.")],
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, help="Partitions of the topic, if it is made.", show_default="SAGA_TOPIC_PARTITIONS"
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column with the key: rows of one key stay in order. Without it they are spread.",
        ),
    ] = None,
    delimiter: Annotated[str, typer.Option(help="What stands between two values; \\t is a tab.")] = ",",
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Produce each row of a CSV file as a JSON object of texts, without any header.

    The whole file is checked before anything is sent. Importing it twice produces its rows twice. A
    correlation rule tells the tracker which sagas the rows belong to: docs/correlation.md.

    Example: saga import receipts.csv --topic receipts --partitions 4 --key case
    """
    run(_import(bootstrap_servers, file, topic, partitions, key, delimiter.replace("\\t", "\t")))


async def _import(
    bootstrap_servers: str | None,
    path: Path,
    topic: str,
    partitions: int | None,
    key: str | None,
    delimiter: str,
) -> int:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        note(f"saga: {delimiter!r} can't stand between values: name one character, such as ';'")
        return 2
    if not business_topics([topic], [topic], TopicSelection("")):
        note(f"saga: {topic} belongs to saga or Kafka: name a topic of your own")
        return 2
    file = CsvFile(path, key, delimiter)
    with progress("checking", file.size) as told:
        problems = file.problems(told)
    for problem in problems[:PROBLEMS_MAX]:
        note(problem)
    if problems:
        more = " at least" if len(problems) > PROBLEMS_MAX else ""
        note(f"saga: nothing was sent: mend{more} {_rows(min(len(problems), PROBLEMS_MAX))} of {path} first")
        return 1
    settings = await connected(bootstrap_servers)
    count = await _made(settings, topic, partitions)
    shipment = Shipment()
    try:
        await _ship(settings, file, topic, shipment)
    except (asyncio.CancelledError, KafkaError, SagaError, OSError) as error:
        may = f", {shipment.unknown:,} more may be" if shipment.unknown else ""
        note(
            f"saga: stopped: {_rows(shipment.delivered)} of {path} are in {topic}{may}. Importing the file "
            "again produces those twice: give it a new topic"
        )
        if isinstance(error, asyncio.CancelledError):
            return _INTERRUPTED
        raise
    note(
        f"{_rows(shipment.delivered)} of {path} went to {topic}, {count} partition{'' if count == 1 else 's'}"
    )
    return 0


async def _made(settings: KafkaSettings, topic: str, partitions: int | None) -> int:
    """Make the topic if it does not exist; the number of its partitions."""
    existing = (await partition_counts(settings, [topic])).get(topic)
    if existing is None:
        await ensure_topics(settings, [Topic(topic, partitions)])
        return partitions or settings.topic_partitions
    if partitions not in (None, existing):
        raise OtherTopic(
            f"the topic {topic} has {existing} partitions already: leave --partitions out, or name another "
            "topic"
        )
    return existing


class Shipment:
    """What became of the rows that were sent."""

    def __init__(self) -> None:
        self.delivered = 0
        self._failed = 0
        self._under_way: set[asyncio.Future[Any]] = set()

    @property
    def unknown(self) -> int:
        """Rows that were sent and not confirmed."""
        return self._failed + len(self._under_way)

    async def take(self, delivery: asyncio.Future[Any]) -> None:
        """One more; waits while too many are under way.

        Raises
        ------
        KafkaError
            One of those before could not be delivered.
        """
        self._under_way.add(delivery)
        if len(self._under_way) >= _UNDER_WAY_MAX:
            await self.all_delivered()

    async def all_delivered(self) -> None:
        """Wait for all that are under way; raises what `take` does."""
        if self._under_way:
            # No gather: it would cancel the deliveries with us, and they have to be counted.
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_EXCEPTION)
        self.settle()

    def settle(self) -> None:
        """Count those of which is known by now what became of them; raises what `take` does."""
        settled = {delivery for delivery in self._under_way if delivery.done()}
        self._under_way -= settled
        errors = [error for delivery in settled if (error := delivery.exception()) is not None]
        self._failed += len(errors)
        self.delivered += len(settled) - len(errors)
        if errors:
            raise errors[0]


async def _ship(settings: KafkaSettings, file: CsvFile, topic: str, shipment: Shipment) -> None:
    """Send all rows. Whatever stops it, `shipment` knows how many are in."""
    try:
        async with producing(settings, linger_ms=20, max_batch_size=256 * 1024) as producer:
            with progress("sending", file.size) as told:
                for row in file.rows(told):
                    await shipment.take(await producer.send(topic, row.value, key=row.key))
                await shipment.all_delivered()
    finally:  # the producer has sent what it had taken
        shipment.settle()


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
