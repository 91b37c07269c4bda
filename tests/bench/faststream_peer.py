"""The hop in FastStream, as its documentation writes it."""

from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from tests.bench.contest import Heat, Stopwatch
from tests.bench.loops import BATCH_BYTES_MAX, RECORDS_MAX, caused_headers
from tests.bench.sample import SampleOrder, reserve


async def one_at_a_time(heat: Heat) -> float:
    """A handler of one event, which publishes one with its headers; offsets commit by themselves."""
    broker = KafkaBroker(heat.bootstrap_servers, logger=None)
    publisher = broker.publisher(heat.target)
    watch = Stopwatch(heat.records)

    @broker.subscriber(heat.source, group_id=heat.group, auto_offset_reset="earliest")  # type: ignore[untyped-decorator]
    async def set_aside(placed: SampleOrder, message: KafkaMessage) -> None:
        watch.polled()
        cause = {name: value.encode() for name, value in message.headers.items()}
        headers = {name: value.decode() for name, value in caused_headers(cause)}
        await publisher.publish(reserve(placed), key=placed.order_id.encode(), headers=headers)
        watch.committed(1)

    return await _run(broker, watch)


async def batches(heat: Heat) -> float:
    """A handler of a list, which publishes a list: no headers, since all of a list would share them."""
    broker = KafkaBroker(heat.bootstrap_servers, logger=None, max_batch_size=BATCH_BYTES_MAX)
    publisher = broker.publisher(heat.target, batch=True)
    watch = Stopwatch(heat.records)

    @broker.subscriber(  # type: ignore[untyped-decorator]
        heat.source,
        group_id=heat.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=RECORDS_MAX,
    )
    async def set_aside(placed: list[SampleOrder]) -> None:
        watch.polled()
        await publisher.publish(*map(reserve, placed))
        watch.committed(len(placed))

    return await _run(broker, watch)


async def _run(broker: KafkaBroker, watch: Stopwatch) -> float:
    async with broker:
        await broker.start()
        await watch.finished.wait()
    return watch.seconds
