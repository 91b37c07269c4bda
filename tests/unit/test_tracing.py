"""Spans and metrics to the letter of the messaging conventions, seen through the real SDK."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from saga.core.envelope import Envelope, read_envelope
from saga.core.outcome import Outcome, Output
from saga.core.service import Guarantee, Service
from saga.runtime.kafka import ConsumerRecord
from saga.runtime.settings import ServiceSettings
from saga.runtime.telemetry import Silence
from saga.runtime.tracing import OpenTelemetry, Providers, configured_telemetry
from tests.records import record_of

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331
TRACEPARENT = f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01"
DEPRECATED = {
    "messaging.operation",
    "messaging.client_id",
    "messaging.kafka.consumer.group",
    "messaging.kafka.destination.partition",
    "messaging.kafka.message.offset",
    "messaging.destination_publish.name",
    "exception.escaped",
}

PLACED = Envelope("e-1", "order.placed", "orders", "saga-1", 0, None, 1, TRACEPARENT)
RESERVED = Envelope("e-2", "stock.reserved", "inventory", "saga-1", 0, "e-1")

BASE = {"messaging.system": "kafka", "server.address": "kafka.example", "server.port": 9092}
CONSUMER = {"messaging.consumer.group.name": "inventory", "messaging.client.id": "inventory-i1"}
PLACED_MESSAGE = {
    "messaging.message.id": "e-1",
    "messaging.message.conversation_id": "saga-1",
    "messaging.kafka.message.key": "o-7",
    "cloudevents.event_id": "e-1",
    "cloudevents.event_source": "orders",
    "cloudevents.event_spec_version": "1.0",
    "cloudevents.event_type": "order.placed",
}


@dataclass
class Seen:
    """A telemetry object, and what has come out of it."""

    telemetry: OpenTelemetry
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    logs: InMemoryLogRecordExporter

    def spans(self) -> dict[str, ReadableSpan]:
        spans = self.exporter.get_finished_spans()
        assert len({span.name for span in spans}) == len(spans)
        return {span.name: span for span in spans}

    def span(self, name: str) -> ReadableSpan:
        return self.spans()[name]

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and data point of each series of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            (dict(point.attributes or {}), point)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]


def seen(*, guarantee: Guarantee = "exactly-once", logs: bool = False, **settings: Any) -> Seen:
    """A service `inventory` that is watched."""
    exporter, reader, log_exporter = (
        InMemorySpanExporter(),
        InMemoryMetricReader(),
        InMemoryLogRecordExporter(),  # type: ignore[no-untyped-call]
    )
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    loggers: _logs.LoggerProvider = _logs.NoOpLoggerProvider()
    if logs:
        real = LoggerProvider()
        real.add_log_record_processor(SimpleLogRecordProcessor(log_exporter))
        loggers = real
    providers = Providers(tracers, MeterProvider(metric_readers=[reader]), loggers)
    given = ServiceSettings(bootstrap_servers="kafka.example:9092", **settings)
    service = Service("inventory", guarantee=guarantee)
    return Seen(OpenTelemetry(service, "i1", given, providers), exporter, reader, log_exporter)


def placed(
    *,
    offset: int = 12,
    topic: str = "orders",
    partition: int = 3,
    envelope: Envelope = PLACED,
    age_ms: int = 0,
) -> ConsumerRecord:
    return record_of(
        envelope.headers(),
        b"{}",
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"o-7",
        timestamp=time.time_ns() // 1_000_000 - age_ms,
    )


def published(envelope: Envelope, topic: str = "stock") -> Output:
    return Output(topic, b"o-7", b"{}", envelope.headers())


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def operation(name: str, kind: str) -> dict[str, str]:
    return {"messaging.operation.name": name, "messaging.operation.type": kind}


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def context_of(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent_of(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def test_a_handler_runs_in_a_consumer_span_that_continues_the_trace_of_its_event() -> None:
    watched = seen()
    with watched.telemetry.process(placed(), PLACED, "inventory.reserve", 2):
        pass

    span = watched.span("process orders")
    assert span.kind is SpanKind.CONSUMER
    assert span.status.status_code is StatusCode.UNSET
    assert parent_of(span) == (TRACE_ID, SPAN_ID)
    assert linked(span) == [(TRACE_ID, SPAN_ID)]
    assert attributes(span) == {
        **BASE,
        **CONSUMER,
        **PLACED_MESSAGE,
        **operation("process", "process"),
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 12,
        "saga.handler": "inventory.reserve",
        "saga.attempt": 2,
    }
    scope = span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == ("saga", "https://opentelemetry.io/schemas/1.44.0")


def test_a_handlers_span_only_links_to_its_event_when_told_so() -> None:
    watched = seen(span_parent=False)
    with watched.telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        pass

    span = watched.span("process orders")
    assert span.parent is None
    assert linked(span) == [(TRACE_ID, SPAN_ID)]


def test_a_span_around_the_service_is_linked_when_the_event_is_the_parent() -> None:
    watched = seen()
    tracer = TracerProvider().get_tracer("test")
    with (
        tracer.start_as_current_span("around") as around,
        watched.telemetry.process(placed(), PLACED, "inventory.reserve", 1),
    ):
        pass

    span = watched.span("process orders")
    assert parent_of(span) == (TRACE_ID, SPAN_ID)
    assert linked(span)[1] == (around.get_span_context().trace_id, around.get_span_context().span_id)


def test_a_retry_that_waited_long_starts_a_new_trace_with_a_link() -> None:
    watched = seen(span_continue_max_ms=30_000)
    waited = placed(topic="saga.retry.inventory.1m", age_ms=60_000)
    with watched.telemetry.process(waited, PLACED, "inventory.reserve", 3):
        pass

    span = watched.span("process saga.retry.inventory.1m")
    assert span.parent is None
    assert linked(span) == [(TRACE_ID, SPAN_ID)]


@pytest.mark.parametrize(("attempt", "age_ms"), [(2, 5_000), (1, 3_600_000)])
def test_a_short_retry_and_a_backlog_continue_the_trace(attempt: int, age_ms: int) -> None:
    watched = seen(span_continue_max_ms=30_000)
    with watched.telemetry.process(placed(age_ms=age_ms), PLACED, "inventory.reserve", attempt):
        pass

    assert parent_of(watched.span("process orders")) == (TRACE_ID, SPAN_ID)


def test_a_published_event_carries_the_context_of_its_own_create_span() -> None:
    watched = seen()
    with watched.telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        envelope = watched.telemetry.create(RESERVED, "stock", "o-7")

    span = watched.span("create stock")
    trace_id, span_id = context_of(span)
    assert span.kind is SpanKind.PRODUCER
    assert parent_of(span) == context_of(watched.span("process orders"))
    assert trace_id == TRACE_ID
    assert envelope.traceparent == f"00-{trace_id:032x}-{span_id:016x}-01"
    assert envelope.tracestate is None
    assert (envelope.id, envelope.saga, envelope.cause) == ("e-2", "saga-1", "e-1")
    assert attributes(span) == {
        **BASE,
        **operation("create", "create"),
        "messaging.destination.name": "stock",
        "messaging.message.id": "e-2",
        "messaging.message.conversation_id": "saga-1",
        "messaging.kafka.message.key": "o-7",
        "cloudevents.event_id": "e-2",
        "cloudevents.event_source": "inventory",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "stock.reserved",
        "saga.causation.id": "e-1",
    }


def test_without_create_spans_the_event_carries_the_context_of_the_handlers_span() -> None:
    watched = seen(span_create=False)
    with watched.telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        envelope = watched.telemetry.create(RESERVED, "stock", "o-7")

    _, span_id = context_of(watched.span("process orders"))
    assert envelope.traceparent == f"00-{TRACE_ID:032x}-{span_id:016x}-01"
    assert set(watched.spans()) == {"process orders"}


def test_the_trace_state_travels_on() -> None:
    watched = seen()
    headers = [*PLACED.headers(), ("tracestate", b"ot=th:8,vendor=x")]
    cause = read_envelope(headers, record_time_ms=0)
    with watched.telemetry.process(placed(envelope=cause), cause, "inventory.reserve", 1):
        envelope = watched.telemetry.create(RESERVED, "stock", "o-7")

    assert envelope.tracestate == "ot=th:8,vendor=x"
    assert read_envelope(envelope.headers(), record_time_ms=0) == envelope


def test_a_poll_links_to_every_event_and_says_on_each_link_what_they_do_not_share() -> None:
    watched = seen()
    other = Envelope(
        "e-9", "order.placed", "orders", "saga-9", 0, None, 1, TRACEPARENT.replace("b7ad", "c7ad")
    )
    watched.telemetry.polled([placed(), placed(offset=13, envelope=other)], 0.25)

    span = watched.span("poll orders")
    assert span.kind is SpanKind.CLIENT
    assert span.parent is None
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 250_000_000
    shared = {
        **PLACED_MESSAGE,
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "3",
    }
    differing = (
        "messaging.message.id",
        "messaging.message.conversation_id",
        "cloudevents.event_id",
    )
    assert attributes(span) == {
        **BASE,
        **CONSUMER,
        **operation("poll", "receive"),
        **{name: value for name, value in shared.items() if name not in differing},
        "messaging.batch.message_count": 2,
    }
    assert [link.context.span_id for link in span.links] == [SPAN_ID, 0xC7AD6B7169203331]
    assert [dict(link.attributes or {}) for link in span.links] == [
        {
            "messaging.message.id": "e-1",
            "messaging.message.conversation_id": "saga-1",
            "cloudevents.event_id": "e-1",
            "messaging.kafka.offset": 12,
        },
        {
            "messaging.message.id": "e-9",
            "messaging.message.conversation_id": "saga-9",
            "cloudevents.event_id": "e-9",
            "messaging.kafka.offset": 13,
        },
    ]


def test_a_poll_of_several_topics_names_none_and_puts_them_on_the_links() -> None:
    watched = seen()
    watched.telemetry.polled([placed(), placed(topic="stock", partition=1)], 0.1)

    span = watched.span("poll")
    assert "messaging.destination.name" not in attributes(span)
    topics = [dict(link.attributes or {})["messaging.destination.name"] for link in span.links]
    assert topics == ["orders", "stock"]


def test_foreign_records_without_trace_text_or_headers_are_told_as_far_as_they_go() -> None:
    watched = seen()
    watched.telemetry.polled([record_of([("x", None)], None, topic="orders", key=b"\xff")], 0.1)

    assert attributes(watched.span("poll orders")) == {
        **BASE,
        **CONSUMER,
        **operation("poll", "receive"),
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.tombstone": True,
        "messaging.batch.message_count": 1,
    }
    assert watched.span("poll orders").links == ()


def handled(watched: Seen, offset: int = 12) -> tuple[Outcome, Output]:
    """A record that was processed and led to an event."""
    with watched.telemetry.process(placed(offset=offset), PLACED, "inventory.reserve", 1):
        reserved = watched.telemetry.create(RESERVED, "stock", "o-7")
    return Outcome("orders", 3, offset), published(reserved)


def test_one_record_is_committed_in_a_child_of_its_handlers_span_and_sent_within() -> None:
    watched = seen()
    outcome, output = handled(watched)
    with watched.telemetry.commit([output], [outcome]):
        pass

    commit, send = watched.span("commit orders"), watched.span("send stock")
    assert commit.kind is SpanKind.CLIENT
    assert parent_of(commit) == context_of(watched.span("process orders"))
    assert linked(commit) == [(TRACE_ID, SPAN_ID)]
    assert attributes(commit) == {
        **BASE,
        **CONSUMER,
        **operation("commit", "settle"),
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 12,
        "messaging.message.id": "e-1",
        "messaging.message.conversation_id": "saga-1",
        "messaging.batch.message_count": 1,
    }
    assert send.kind is SpanKind.CLIENT
    assert parent_of(send) == context_of(commit)
    assert linked(send) == [context_of(watched.span("create stock"))]
    assert attributes(send) == {
        **BASE,
        **operation("send", "send"),
        "messaging.destination.name": "stock",
        "messaging.message.id": "e-2",
        "messaging.message.conversation_id": "saga-1",
        "messaging.kafka.message.key": "o-7",
        "cloudevents.event_id": "e-2",
        "cloudevents.event_source": "inventory",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "stock.reserved",
        "saga.causation.id": "e-1",
        "messaging.batch.message_count": 1,
    }


def test_several_records_are_committed_with_a_link_to_each_and_no_parent() -> None:
    watched = seen()
    done = [handled(watched, offset) for offset in (12, 13)]
    watched.exporter.clear()
    receipts = Output("saga.receipts", None, b"{}", [("content-type", b"application/json")])
    with watched.telemetry.commit(
        [*(output for _, output in done), receipts], [outcome for outcome, _ in done]
    ):
        pass

    commit = watched.span("commit orders")
    assert commit.parent is None
    assert linked(commit) == [(TRACE_ID, SPAN_ID)] * 2
    assert [dict(link.attributes or {}) for link in commit.links] == [
        {"messaging.kafka.offset": 12},
        {"messaging.kafka.offset": 13},
    ]
    assert attributes(watched.span("send stock"))["messaging.batch.message_count"] == 2
    assert len(watched.span("send stock").links) == 2
    assert parent_of(watched.span("send stock")) == context_of(commit)
    assert parent_of(watched.span("send saga.receipts")) == context_of(commit)


def test_an_at_least_once_service_has_no_commit_span_and_sends_below_the_handlers_span() -> None:
    watched = seen(guarantee="at-least-once")
    outcome, output = handled(watched)
    with watched.telemetry.commit([output], [outcome]):
        pass

    assert set(watched.spans()) == {"process orders", "create stock", "send stock"}
    assert parent_of(watched.span("send stock")) == context_of(watched.span("process orders"))


def test_what_is_dropped_before_its_commit_is_forgotten_in_time() -> None:
    watched = seen(in_flight_records=2)
    outcome, output = handled(watched, 1)
    for offset in (2, 3):
        handled(watched, offset)
    watched.exporter.clear()
    with watched.telemetry.commit([output], [outcome]):
        pass

    assert watched.span("commit orders").parent is None


def failing(watched: Seen) -> Iterator[None]:
    with watched.telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        yield
        raise KeyError("sku-1")


def test_a_failed_handler_leaves_its_error_on_the_span_and_an_exception_event() -> None:
    watched = seen()
    with pytest.raises(KeyError):
        list(failing(watched))

    span = watched.span("process orders")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "'sku-1'"
    assert attributes(span)["error.type"] == "KeyError"
    [event] = span.events
    told = dict(event.attributes or {})
    assert event.name == "exception"
    assert (told["exception.type"], told["exception.message"]) == ("KeyError", "'sku-1'")
    assert "in failing" in str(told["exception.stacktrace"])
    assert set(told) == {"exception.type", "exception.message", "exception.stacktrace"}


def test_an_exception_is_a_log_record_where_the_sdk_has_logs() -> None:
    watched = seen(logs=True)
    with pytest.raises(KeyError):
        list(failing(watched))

    [told] = watched.logs.get_finished_logs()
    record, span = told.log_record, watched.span("process orders")
    assert record.event_name == "messaging.process.exception"
    assert record.severity_number is _logs.SeverityNumber.ERROR
    assert (record.trace_id, record.span_id) == context_of(span)
    assert (record.attributes or {})["exception.type"] == "KeyError"
    assert not span.events


def test_a_failed_transaction_fails_all_its_spans_and_is_told_once() -> None:
    watched = seen(logs=True)
    outcome, output = handled(watched)

    def write() -> None:
        with watched.telemetry.commit([output, published(RESERVED, "other")], [outcome]):
            raise OSError("broker gone")

    with pytest.raises(OSError, match="broker gone"):
        write()

    for name in ("commit orders", "send stock", "send other"):
        assert attributes(watched.span(name))["error.type"] == "OSError"
        assert watched.span(name).status.status_code is StatusCode.ERROR
    [told] = watched.logs.get_finished_logs()
    assert told.log_record.event_name == "messaging.settle.exception"
    assert told.log_record.severity_number is _logs.SeverityNumber.WARN


def test_metrics_have_their_names_units_buckets_and_attributes() -> None:
    watched = seen()
    watched.telemetry.polled([placed(), placed(offset=13)], 0.25)
    outcome, output = handled(watched)
    with watched.telemetry.commit([output], [outcome]):
        pass

    place = {"messaging.destination.name": "orders", "messaging.destination.partition.id": "3"}
    group = {"messaging.consumer.group.name": "inventory"}
    [(measured, processed)] = watched.points("messaging.process.duration")
    assert measured == {**BASE, **group, **place, "messaging.operation.name": "process"}
    assert processed.explicit_bounds == (
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    )  # fmt: skip
    span = watched.span("process orders")
    assert span.start_time is not None
    assert span.end_time is not None
    assert processed.sum == pytest.approx((span.end_time - span.start_time) / 1e9)

    operations = {
        measured["messaging.operation.name"]: (measured, point)
        for measured, point in watched.points("messaging.client.operation.duration")
    }
    assert {name: measured for name, (measured, _) in operations.items()} == {
        "poll": {**BASE, **group, **place, **operation("poll", "receive")},
        "commit": {**BASE, **group, **place, **operation("commit", "settle")},
        "send": {**BASE, **operation("send", "send"), "messaging.destination.name": "stock"},
    }
    assert operations["poll"][1].sum == 0.25
    assert operations["send"][1].explicit_bounds == processed.explicit_bounds

    [(measured, consumed)] = watched.points("messaging.client.consumed.messages")
    assert measured == {**BASE, **group, **place, "messaging.operation.name": "poll"}
    assert consumed.value == 2
    [(measured, sent)] = watched.points("messaging.client.sent.messages")
    assert measured == {**BASE, "messaging.destination.name": "stock", "messaging.operation.name": "send"}
    assert sent.value == 1


def test_a_failure_is_a_series_of_its_own() -> None:
    watched = seen()
    with pytest.raises(KeyError):
        list(failing(watched))

    [(measured, _)] = watched.points("messaging.process.duration")
    assert measured["error.type"] == "KeyError"


def test_nothing_deprecated_is_emitted() -> None:
    watched = seen()
    watched.telemetry.polled([placed()], 0.1)
    outcome, output = handled(watched)
    with watched.telemetry.commit([output], [outcome]):
        pass
    with pytest.raises(KeyError):
        list(failing(watched))

    names = set[str]()
    for span in watched.exporter.get_finished_spans():
        names |= set(attributes(span))
        names |= {name for link in span.links for name in link.attributes or {}}
        names |= {name for event in span.events for name in event.attributes or {}}
        assert "publish" not in attributes(span).values()
    assert not names & DEPRECATED


def test_several_bootstrap_servers_name_no_server() -> None:
    watched = seen()
    providers = Providers(trace.NoOpTracerProvider(), metrics.NoOpMeterProvider(), _logs.NoOpLoggerProvider())
    settings = ServiceSettings(bootstrap_servers="a:9092,b:9092")
    telemetry = OpenTelemetry(Service("inventory"), "i1", settings, providers)

    assert "server.address" not in telemetry._common
    assert watched.telemetry._common["server.address"] == "kafka.example"


def test_with_metrics_alone_trace_contexts_travel_on_unchanged() -> None:
    providers = Providers(
        trace.NoOpTracerProvider(), MeterProvider(metric_readers=[]), _logs.NoOpLoggerProvider()
    )
    telemetry = OpenTelemetry(Service("inventory"), "i1", ServiceSettings(span_parent=False), providers)
    given = Envelope("e-2", "stock.reserved", "inventory", "saga-1", 0, "e-1", 1, TRACEPARENT, "vendor=x")
    with telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        assert telemetry.create(given, "stock", "o-7") == given


def test_without_an_sdk_there_is_silence_and_the_trace_context_travels_on() -> None:
    telemetry = configured_telemetry(Service("inventory"), "i1", ServiceSettings())

    assert isinstance(telemetry, Silence)
    given = Envelope("e-2", "stock.reserved", "inventory", "saga-1", 0, "e-1", 1, TRACEPARENT, "vendor=x")
    with telemetry.process(placed(), PLACED, "inventory.reserve", 1):
        assert telemetry.create(given, "stock", "o-7") is given


@pytest.mark.parametrize(
    "configure",
    [
        "from opentelemetry.sdk.trace import TracerProvider as P; trace.set_tracer_provider(P())",
        "from opentelemetry.sdk.metrics import MeterProvider as P; metrics.set_meter_provider(P())",
    ],
)
def test_with_an_sdk_set_up_the_service_is_watched(configure: str) -> None:
    # In a process of its own, since the SDK can be set up only once in each.
    script = f"""
from opentelemetry import metrics, trace
{configure}
from saga import Service, ServiceSettings
from saga.runtime.tracing import configured_telemetry
print(type(configured_telemetry(Service("inventory"), "i1", ServiceSettings())).__name__)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "OpenTelemetry"
