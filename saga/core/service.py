"""A service: a named set of handlers, and one Kafka consumer group."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeVar

from saga.core.duration import duration_ms
from saga.core.errors import DeclarationError
from saga.core.event import Event, declared_events
from saga.core.handler import Handler, HandlerFunction, handler_of
from saga.core.receipt import EventSchema, Publication, ServiceAnnouncement, Subscription
from saga.core.retry import Retry

Guarantee = Literal["exactly-once", "at-least-once"]
Unknown = Literal["dead-letter", "ignore"]
Function = TypeVar("Function", bound=HandlerFunction)

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


class Service:
    """Declares what a service subscribes to. Running it is `saga run module:service`.

    Parameters
    ----------
    name : lower case letters, digits and hyphens; also the consumer group and the `ce_source`.
    guarantee : "exactly-once" puts events, receipts and offsets into one Kafka transaction;
        "at-least-once" saves its milliseconds, and repeats are collapsed by their derived ids.
    concurrency : how many keys are handled at the same time.
    unknown : what happens to records on a subscribed topic whose type no imported event class
        declares.
    publishes : events that the service publishes outside of its handlers.
    version : of its code, as whoever deploys it names it. It is announced and shown, and nothing depends
        on it.
    """

    def __init__(
        self,
        name: str,
        *,
        guarantee: Guarantee = "exactly-once",
        concurrency: int = 64,
        unknown: Unknown = "dead-letter",
        publishes: Iterable[type[Event]] = (),
        description: str = "",
        version: str = "",
    ) -> None:
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"{name!r} is no service name: lower case letters, digits and hyphens, such as 'inventory'"
            )
        if concurrency < 1:
            raise DeclarationError(f"service {name}: concurrency={concurrency}, but 1 is the least")
        self.name = name
        self.guarantee = guarantee
        self.concurrency = concurrency
        self.unknown = unknown
        self.publishes = frozenset(publishes)
        self.description = description
        self.version = version
        self._handlers: dict[tuple[str, int], Handler] = {}

    def on(
        self,
        event: type[Event],
        *,
        retry: Retry | None = None,
        timeout: str | None = "60s",
        publishes: Iterable[type[Event]] = (),
    ) -> Callable[[Function], Function]:
        """Subscribe an async function to an event type; use it as a decorator.

        Parameters
        ----------
        retry : when a failed run is repeated; by default `Retry()`.
        timeout : the longest an attempt may take before it counts as failed; None for no bound.
        publishes : events it publishes through `Context.publish` and does not return.

        Raises
        ------
        DeclarationError
            The function's signature does not fit, or the service handles this event already.
        """

        def subscribe(function: Function) -> Function:
            handler = handler_of(
                function,
                event,
                publishes=publishes,
                retry=retry or Retry(),
                timeout_ms=None if timeout is None else duration_ms(timeout),
            )
            key = (event.declared.name, event.declared.version)
            if key in self._handlers:
                raise DeclarationError(
                    f"service {self.name} handles {key[0]} version {key[1]} with "
                    f"{self._handlers[key].name} already: one handler an event type; call one from the other"
                )
            self._handlers[key] = handler
            return function

        return subscribe

    @property
    def handlers(self) -> Mapping[tuple[str, int], Handler]:
        """The handlers by event type and version."""
        return self._handlers

    @property
    def topics(self) -> frozenset[str]:
        """The business topics that the service reads."""
        return frozenset(handler.event.declared.topic for handler in self._handlers.values())

    def known_types(self) -> frozenset[tuple[str, int]]:
        """Type and version of every event that this process declares.

        Raises
        ------
        DeclarationError
            Two classes declare the same type and version.
        """
        found: dict[tuple[str, int], type[Event]] = {}
        for model in declared_events():
            key = (model.declared.name, model.declared.version)
            other = found.setdefault(key, model)
            if other is not model and other.declared != model.declared:
                raise DeclarationError(
                    f"{other.__qualname__} and {model.__qualname__} both declare {key[0]} version {key[1]}"
                )
        return frozenset(found)

    def announcement(self) -> ServiceAnnouncement:
        """What the service tells of itself on `saga.services`."""
        subscribes = [
            Subscription(event.name, event.topic, handler.name, handler.always)
            for handler in self._handlers.values()
            for event in [handler.event.declared]
        ]
        publications = {
            (model.declared.name, model.declared.topic, handler.name, model in handler.once)
            for handler in self._handlers.values()
            for model in handler.publishes
        } | {(model.declared.name, model.declared.topic, "", False) for model in self.publishes}
        return ServiceAnnouncement(
            self.name,
            subscribes,
            [Publication(*publication) for publication in sorted(publications)],
            self.guarantee,
            self.description,
            list(self._schemas()),
            self.version,
        )

    def _schemas(self) -> Iterator[EventSchema]:
        models = {handler.event for handler in self._handlers.values()} | self.publishes
        models |= {model for handler in self._handlers.values() for model in handler.publishes}
        for model in sorted(models, key=lambda model: (model.declared.name, model.declared.version)):
            schema = model.schema_of_data()
            if schema is not None:
                yield EventSchema(model.declared.name, model.declared.version, schema)
