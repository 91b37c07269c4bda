"""OpenTelemetry: spans, metrics and exceptions as its messaging conventions for Kafka name them.

Source: semantic-conventions 1.44.0, docs/messaging (kafka.md, messaging-metrics.md,
messaging-exceptions.md) and docs/cloudevents. What they leave open is decided here:

* `OTEL_SEMCONV_STABILITY_OPT_IN` lets a library go on with names it used before. There never were
  any here, so each of its values gives the names of 1.44.0.
* Everything is published in batches: each event gets a `create` span (PRODUCER), whose context the
  event carries, and each batch a `send` span (CLIENT) with a link to each of them. Without
  `span_create` the event carries the context of the span it was published in.
* What the messages of a batch share stands on its span, the rest on the links.
* An exactly-once service sends and commits in one transaction: its `send` spans are children of the
  `commit` span and last as long, since nobody sees the events before. The `commit` span of a single
  record is a child of its `process` span; that of several links to their creation contexts. An
  at-least-once service commits offsets at intervals, apart from any event, and has no such span.
* An exception becomes a log record `messaging.<type>.exception` where the SDK has a logger provider,
  and a span event `exception` otherwise.
* `messaging.kafka.cluster.id` is missing, since the client does not keep it; `server.*` is missing
  when there are several bootstrap servers, since no one of them is the broker that answers.
"""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import NamedTuple

from msgspec import structs
from opentelemetry import _logs, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from saga.core.delivery import error_text, qualified_name
from saga.core.envelope import Envelope, Headers, read_envelope
from saga.core.errors import NotAnEvent
from saga.core.outcome import Outcome, Output
from saga.core.service import Service
from saga.runtime.kafka import ConsumerRecord
from saga.runtime.settings import KafkaSettings, ServiceSettings
from saga.runtime.telemetry import PublishingTelemetry, Silence, Telemetry

Attributes = dict[str, str | bool | int | float]

_SCOPE = "saga"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

_SYSTEM = "messaging.system"
_OPERATION = "messaging.operation.name"
_TYPE = "messaging.operation.type"
_TOPIC = "messaging.destination.name"
_PARTITION = "messaging.destination.partition.id"
_GROUP = "messaging.consumer.group.name"
_CLIENT = "messaging.client.id"
_COUNT = "messaging.batch.message_count"
_ID = "messaging.message.id"
_CONVERSATION = "messaging.message.conversation_id"
_OFFSET = "messaging.kafka.offset"
_KEY = "messaging.kafka.message.key"
_TOMBSTONE = "messaging.kafka.message.tombstone"
_ERROR = "error.type"

_MEASURED = (_SYSTEM, _OPERATION, _TYPE, _TOPIC, _PARTITION, _GROUP, "server.address", "server.port")

_PROPAGATOR = TraceContextTextMapPropagator()


class Providers(NamedTuple):
    """Where spans, metrics and log records go."""

    tracers: trace.TracerProvider
    meters: metrics.MeterProvider
    loggers: _logs.LoggerProvider

    def configured(self) -> bool:
        """Whether anybody listens to spans or metrics."""
        return not (_is_placeholder(self.tracers) and _is_placeholder(self.meters))


def configured_telemetry(service: Service, instance: str, settings: ServiceSettings) -> Telemetry:
    """Telemetry for the SDK that this process has set up; silence where there is none."""
    providers = _global_providers()
    return OpenTelemetry(service, instance, settings, providers) if providers.configured() else Silence()


def configured_publishing(service: Service, settings: KafkaSettings) -> PublishingTelemetry:
    """The same for publishing outside of handlers."""
    providers = _global_providers()
    return OpenTelemetryPublishing(service, settings, providers) if providers.configured() else Silence()


class OpenTelemetryPublishing:
    """Spans and metrics of whoever publishes events."""

    def __init__(self, service: Service, settings: KafkaSettings, providers: Providers) -> None:
        scope = version("saga-choreography")
        self._tracer = providers.tracers.get_tracer(_SCOPE, scope, _SCHEMA_URL)
        self._logger = (
            None
            if _is_placeholder(providers.loggers)
            else providers.loggers.get_logger(_SCOPE, scope, _SCHEMA_URL)
        )
        self._meter = providers.meters.get_meter(_SCOPE, scope, _SCHEMA_URL)
        self._operations = self._durations(
            "messaging.client.operation.duration",
            "Duration of messaging operation initiated by a producer or consumer client.",
        )
        self._sent = self._meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Number of messages producer attempted to send to the broker.",
        )
        self._span_create = settings.span_create
        self._common: Attributes = {_SYSTEM: "kafka", **_server(settings.bootstrap_servers)}

    def create(self, envelope: Envelope, topic: str, key: str) -> Envelope:
        """The envelope with the context of its own `create` span, or of the current span."""
        if not self._span_create:
            return _carrying(envelope, trace.get_current_span().get_span_context())
        attributes = self._attributes("create", "create") | _message(topic, key.encode(), b"", (), envelope)
        span = self._tracer.start_span(f"create {topic}", kind=SpanKind.PRODUCER, attributes=attributes)
        span.end()
        return _carrying(envelope, span.get_span_context())

    @contextmanager
    def send(self, outputs: Sequence[Output]) -> Iterator[None]:
        """A `send` span for each topic, all children of the current span."""
        with self._sending(outputs, None):
            yield

    @contextmanager
    def _sending(
        self, outputs: Sequence[Output], parent: Context | None, *, tells: bool = True
    ) -> Iterator[None]:
        by_topic: dict[str, list[Output]] = {}
        for output in outputs:
            by_topic.setdefault(output.topic, []).append(output)
        # Each span becomes the current one, so the parent of the next must be named.
        within = trace.set_span_in_context(trace.get_current_span()) if parent is None else parent
        with ExitStack() as stack:
            for topic, of_topic in by_topic.items():
                stack.enter_context(self._sending_to(topic, of_topic, within, tells))
                tells = False
            yield

    @contextmanager
    def _sending_to(
        self, topic: str, outputs: Sequence[Output], parent: Context, tells: bool
    ) -> Iterator[None]:
        messages = _Messages()
        for output in outputs:
            envelope = _envelope(output.headers)
            messages.add(
                _message(topic, output.key, output.value, output.headers, envelope), _creation(envelope)
            )
        attributes = self._attributes("send", "send") | messages.shared() | {_COUNT: len(outputs)}
        measured = _measured(attributes)
        try:
            with self._operation(
                self._operations, SpanKind.CLIENT, attributes, measured, messages.links(), parent, tells=tells
            ):
                yield
        finally:
            self._sent.add(len(outputs), _without_type(measured))

    @contextmanager
    def _operation(
        self,
        durations: metrics.Histogram,
        kind: SpanKind,
        attributes: Attributes,
        measured: Attributes,
        links: Sequence[Link],
        parent: Context | None,
        *,
        tells: bool = True,
    ) -> Iterator[Span]:
        """A span, current within the block, and its duration; `measured` learns of the error.

        Where one error passes several spans, one of them `tells` its traceback.
        """
        began_ns, began = time.time_ns(), time.perf_counter_ns()
        span = self._tracer.start_span(
            _name(attributes), parent, kind, attributes, links, start_time=began_ns
        )
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                measured[_ERROR] = qualified_name(error)
                span.set_attribute(_ERROR, qualified_name(error))
                span.set_status(Status(StatusCode.ERROR, error_text(error)))
                if tells:
                    self._tell(span, error, str(attributes[_TYPE]))
                raise
            finally:
                lasted_ns = time.perf_counter_ns() - began
                durations.record(lasted_ns / 1e9, measured)
                span.end(began_ns + lasted_ns)

    def _tell(self, span: Span, error: BaseException, operation_type: str) -> None:
        described: Attributes = {
            "exception.type": qualified_name(error),
            "exception.message": error_text(error),
            "exception.stacktrace": "".join(traceback.format_exception(error)),
        }
        if self._logger is None:
            span.add_event("exception", described)
            return
        level = _logs.SeverityNumber.ERROR if operation_type == "process" else _logs.SeverityNumber.WARN
        event_name = f"messaging.{operation_type}.exception"
        self._logger.emit(
            _logs.LogRecord(
                timestamp=time.time_ns(), severity_number=level, event_name=event_name, attributes=described
            )
        )

    def _attributes(self, operation: str, operation_type: str) -> Attributes:
        return {**self._common, _OPERATION: operation, _TYPE: operation_type}

    def _durations(self, name: str, description: str) -> metrics.Histogram:
        return self._meter.create_histogram(
            name, unit="s", description=description, explicit_bucket_boundaries_advisory=_BUCKETS_SECONDS
        )


class _Processed(NamedTuple):
    """A record whose handler has run: that span, and the event's own."""

    span: SpanContext
    creation: SpanContext | None
    attributes: Attributes


class OpenTelemetry(OpenTelemetryPublishing):
    """Spans and metrics of a running service."""

    def __init__(
        self, service: Service, instance: str, settings: ServiceSettings, providers: Providers
    ) -> None:
        super().__init__(service, settings, providers)
        self._processing = self._durations("messaging.process.duration", "Duration of processing operation.")
        self._consumed = self._meter.create_counter(
            "messaging.client.consumed.messages",
            unit="{message}",
            description="Number of messages that were delivered to the application.",
        )
        self._consumer: Attributes = {_GROUP: service.name, _CLIENT: f"{service.name}-{instance}"}
        self._transactional = service.guarantee == "exactly-once"
        self._span_parent = settings.span_parent
        self._continue_max_ms = settings.span_continue_max_ms
        self._processed_max = settings.in_flight_records
        self._processed: dict[tuple[str, int, int], _Processed] = {}

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        """A `poll` span with a link to each event."""
        messages = _Messages()
        for record in records:
            envelope = _envelope(record.headers)
            messages.add(_consumed_message(record, envelope), _creation(envelope))
        attributes = (
            self._attributes("poll", "receive") | self._consumer | messages.shared() | {_COUNT: len(records)}
        )
        ended_ns = time.time_ns()
        self._tracer.start_span(
            _name(attributes),
            None,
            SpanKind.CLIENT,
            attributes,
            messages.links(),
            start_time=ended_ns - int(seconds * 1e9),
        ).end(ended_ns)
        measured = _measured(attributes)
        self._operations.record(seconds, measured)
        for (topic, partition), count in messages.counts().items():
            self._consumed.add(count, _without_type(measured) | {_TOPIC: topic, _PARTITION: partition})

    @contextmanager
    def process(
        self, record: ConsumerRecord, envelope: Envelope, handler: str, attempt: int
    ) -> Iterator[None]:
        """A `process` span that continues the event's trace, or starts one, and links to the event."""
        creation = _creation(envelope)
        message = _consumed_message(record, envelope)
        attributes = (
            self._attributes("process", "process")
            | self._consumer
            | message
            | {"saga.handler": handler, "saga.attempt": attempt}
        )
        links = [] if creation is None else [Link(creation)]
        parent = None
        if creation is not None and self._continues(record, attempt):
            parent = trace.set_span_in_context(NonRecordingSpan(creation))
            around = trace.get_current_span().get_span_context()
            if around.is_valid:
                links.append(Link(around))
        with self._operation(
            self._processing,
            SpanKind.CONSUMER,
            attributes,
            _without_type(_measured(attributes)),
            links,
            parent,
        ) as span:
            self._remember(record, _Processed(span.get_span_context(), creation, message))
            yield

    @contextmanager
    def commit(self, outputs: Sequence[Output], outcomes: Sequence[Outcome]) -> Iterator[None]:
        """A `commit` span, and within it the `send` spans of the same transaction."""
        messages, last = _Messages(), None
        for outcome in outcomes:
            last = self._processed.pop((outcome.topic, outcome.partition, outcome.offset), None)
            place: Attributes = {
                _TOPIC: outcome.topic,
                _PARTITION: str(outcome.partition),
                _OFFSET: outcome.offset,
            }
            known = {} if last is None else {name: last.attributes[name] for name in (_ID, _CONVERSATION)}
            messages.add(place | known, None if last is None else last.creation)
        parent = None
        if len(outcomes) == 1 and last is not None:
            parent = trace.set_span_in_context(NonRecordingSpan(last.span))
        if not outcomes or not self._transactional:
            with self._sending(outputs, parent):
                yield
            return
        attributes = (
            self._attributes("commit", "settle")
            | self._consumer
            | messages.shared()
            | {_COUNT: len(outcomes)}
        )
        with (
            self._operation(
                self._operations, SpanKind.CLIENT, attributes, _measured(attributes), messages.links(), parent
            ),
            self._sending(outputs, None, tells=False),
        ):
            yield

    def _continues(self, record: ConsumerRecord, attempt: int) -> bool:
        if not self._span_parent:
            return False
        return attempt == 1 or time.time() * 1000 - record.timestamp <= self._continue_max_ms

    def _remember(self, record: ConsumerRecord, processed: _Processed) -> None:
        if len(self._processed) >= self._processed_max:
            # Records dropped at a rebalance are never committed here: the oldest go.
            del self._processed[next(iter(self._processed))]
        self._processed[record.topic, record.partition, record.offset] = processed


class _Messages:
    """The messages of a batch: what they share, and a link to each with the rest."""

    def __init__(self) -> None:
        self._described: list[tuple[Attributes, SpanContext | None]] = []
        self._shared: Attributes | None = None

    def add(self, attributes: Attributes, creation: SpanContext | None) -> None:
        self._described.append((attributes, creation))
        if self._shared is None:
            self._shared = attributes
        elif self._shared:
            self._shared = dict(self._shared.items() & attributes.items())

    def shared(self) -> Attributes:
        return self._shared or {}

    def links(self) -> list[Link]:
        shared = self.shared()
        return [
            Link(creation, {name: value for name, value in attributes.items() if name not in shared})
            for attributes, creation in self._described
            if creation is not None
        ]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many messages there are of each topic and partition."""
        found: dict[tuple[str, str], int] = {}
        for attributes, _ in self._described:
            place = (str(attributes[_TOPIC]), str(attributes[_PARTITION]))
            found[place] = found.get(place, 0) + 1
        return found


def _message(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, envelope: Envelope | None
) -> Attributes:
    """The attributes of a message, as far as it has them."""
    described: Attributes = {_TOPIC: topic}
    if envelope is not None:
        described |= {
            _ID: envelope.id,
            _CONVERSATION: envelope.saga,
            "cloudevents.event_id": envelope.id,
            "cloudevents.event_source": envelope.source,
            "cloudevents.event_spec_version": "1.0",
            "cloudevents.event_type": envelope.type,
        }
        if envelope.cause is not None:
            described["saga.causation.id"] = envelope.cause
        for name, content in headers:
            if name == "ce_subject" and (subject := _text(content)):
                described["cloudevents.event_subject"] = subject
    if (text := _text(key)) is not None:
        described[_KEY] = text
    if value is None:
        described[_TOMBSTONE] = True
    return described


def _consumed_message(record: ConsumerRecord, envelope: Envelope | None) -> Attributes:
    return _message(record.topic, record.key, record.value, record.headers, envelope) | {
        _PARTITION: str(record.partition),
        _OFFSET: record.offset,
    }


def _envelope(headers: Headers) -> Envelope | None:
    try:
        return read_envelope(headers, record_time_ms=0)
    except NotAnEvent:
        return None


def _creation(envelope: Envelope | None) -> SpanContext | None:
    """The context of the span that created the event, if it carries a valid one."""
    if envelope is None or envelope.traceparent is None:
        return None
    carrier = {"traceparent": envelope.traceparent, "tracestate": envelope.tracestate or ""}
    found = trace.get_current_span(_PROPAGATOR.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _carrying(envelope: Envelope, context: SpanContext) -> Envelope:
    """The envelope with this trace context; with the one it has where this is none."""
    if not context.is_valid:
        return envelope
    return structs.replace(
        envelope,
        traceparent=f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        tracestate=context.trace_state.to_header() or None,
    )


def _name(attributes: Attributes) -> str:
    topic = attributes.get(_TOPIC)
    return str(attributes[_OPERATION]) if topic is None else f"{attributes[_OPERATION]} {topic}"


def _measured(attributes: Attributes) -> Attributes:
    """Those of low cardinality."""
    return {name: attributes[name] for name in _MEASURED if name in attributes}


def _without_type(measured: Attributes) -> Attributes:
    return {name: value for name, value in measured.items() if name != _TYPE}


def _server(bootstrap_servers: str) -> Attributes:
    host, colon, port = bootstrap_servers.strip().rpartition(":")
    if "," in bootstrap_servers or not colon or not port.isdecimal():
        return {}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _text(content: bytes | None) -> str | None:
    """The text of some bytes; None where they are no text."""
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _global_providers() -> Providers:
    return Providers(trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())


def _is_placeholder(provider: object) -> bool:
    """Whether this is what the API gives while no SDK is set up: all such classes are its own."""
    return type(provider).__module__.split(".")[:2] in (
        ["opentelemetry", "trace"],
        ["opentelemetry", "metrics"],
        ["opentelemetry", "_logs"],
    )
