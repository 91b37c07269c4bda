"""From a record to the handler it is for, or the reason why there is none."""

from typing import NamedTuple

from saga.core.envelope import Envelope, Headers, is_structured, read_envelope, read_structured
from saga.core.errors import SchemaViolation, UnknownEventType
from saga.core.event import Event
from saga.core.handler import Handler
from saga.core.service import Service


class Addressed(NamedTuple):
    """An event and the handler that gets it."""

    envelope: Envelope
    handler: Handler
    data: bytes | None

    def event(self) -> Event:
        """The event itself.

        Raises
        ------
        SchemaViolation
            The data is missing or is not what the model demands.
        """
        if self.data is None:
            raise SchemaViolation(f"{self.envelope.type} has no data (a null value)")
        return self.handler.event.read(self.data)


class Unaddressed(NamedTuple):
    """An event without a handler here: of a known type, or `unknown` says why it is not known."""

    envelope: Envelope
    unknown: UnknownEventType | None


class Reader:
    """Reads records for one service."""

    def __init__(self, service: Service) -> None:
        self._handlers = dict(service.handlers)
        self._known = service.known_types()
        self._versions: dict[str, list[int]] = {}
        for name, version in self._known:
            self._versions.setdefault(name, []).append(version)
        handled = {name for name, _ in self._handlers}
        # Types that this service need not even parse: known, and handled in no version.
        self._others = {name.encode() for name in self._versions if name not in handled}

    def not_for_us(self, headers: Headers) -> bool:
        """Whether the record is of a known type that this service is not subscribed to."""
        for name, value in headers:
            if name == "ce_type":
                return value in self._others
        return False

    def read(self, headers: Headers, value: bytes | None, record_time_ms: int) -> Addressed | Unaddressed:
        """Whom the record is for.

        Raises
        ------
        NotAnEvent
            The headers of a CloudEvent are missing or unreadable.
        """
        if is_structured(headers):
            envelope, value = read_structured(value or b"", record_time_ms=record_time_ms)
        else:
            envelope = read_envelope(headers, record_time_ms=record_time_ms)
        handler = self._handlers.get((envelope.type, envelope.version))
        if handler is not None:
            return Addressed(envelope, handler, value)
        if (envelope.type, envelope.version) in self._known:
            return Unaddressed(envelope, None)
        return Unaddressed(envelope, UnknownEventType(self._explained(envelope)))

    def _explained(self, envelope: Envelope) -> str:
        declared = self._versions.get(envelope.type)
        if declared is None:
            return f"no event class declares the type {envelope.type!r}"
        versions = ", ".join(map(str, sorted(declared)))
        return f"{envelope.type} version {envelope.version} is not declared, only {versions}"
