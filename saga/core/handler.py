"""Handlers: async functions subscribed to an event type; what they return is published."""

import inspect
import types
import typing
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from saga.core.context import Context
from saga.core.errors import DeclarationError, UndeclaredEvent
from saga.core.event import Event, is_declared
from saga.core.retry import Retry

Returned = Event | Iterable[Event] | None
HandlerFunction = Callable[..., Coroutine[Any, Any, Returned]]


@dataclass(frozen=True)
class Handler:
    """A function, the event type it is subscribed to, and what it may publish.

    `name` is the function's; `timeout_ms` bounds one attempt; None means no bound. By its annotation each
    run publishes something if it is `always`, and one event at most of each type in `once`.
    """

    name: str
    event: type[Event]
    function: HandlerFunction
    wants_context: bool
    publishes: frozenset[type[Event]]
    always: bool
    once: frozenset[type[Event]]
    retry: Retry
    timeout_ms: int | None

    def checked(self, returned: Returned, published: Sequence[Event] = ()) -> Sequence[Event]:
        """The events of one run in the order they are published: `Context.published` before those returned.

        Raises
        ------
        UndeclaredEvent
            One of them is not in the declaration.
        """
        events = _listed(self.name, returned)
        if published:
            events = [*published, *events]
        for event in events:
            if type(event) not in self.publishes:
                declared = ", ".join(sorted(model.__name__ for model in self.publishes)) or "None"
                raise UndeclaredEvent(
                    f"{self.name} returned {type(event).__name__}, but declares {declared}. "
                    f"Add {type(event).__name__} to its return annotation"
                )
        return events


def handler_of(
    function: HandlerFunction,
    event: type[Event],
    *,
    publishes: Iterable[type[Event]] = (),
    retry: Retry,
    timeout_ms: int | None,
) -> Handler:
    """Read a handler's declaration from its signature.

    Raises
    ------
    DeclarationError
        It is not async, takes the wrong parameters, or its return annotation is missing or names
        something that can't be published.
    """
    name = getattr(function, "__name__", None)
    if name is None:
        # Ids of produced events follow from the name: it must be the same in every process.
        raise DeclarationError(f"{function!r} has no name: subscribe a function, not a partial of one")
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"{name} must be `async def`: a blocking handler would stop the service")
    if not is_declared(event):
        raise DeclarationError(f"{name} is subscribed to {event!r}, which has no topic= and type=")
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) not in (1, 2) or any(each.kind not in positional for each in parameters):
        raise DeclarationError(f"{name} must take the event, and a Context if it wants one")
    hints = _hints(name, function)
    if hints.get(parameters[-1].name, Context) is not Context and len(parameters) == 2:
        raise DeclarationError(f"{name}: its second parameter is a Context, or it has none")
    accepted: object = hints.get(parameters[0].name, event)
    if accepted != event and accepted is not Event:
        raise DeclarationError(
            f"{name} is subscribed to {event.__name__} but its first parameter is {accepted!r}"
        )
    if "return" not in hints:
        raise DeclarationError(
            f"{name} has no return annotation: write the events it may publish, or `-> None`"
        )
    early = frozenset(publishes)
    returned = frozenset(_events_in(name, hints["return"]))
    alternatives = _alternatives(hints["return"])
    singly = frozenset(part for part in alternatives if isinstance(part, type) and issubclass(part, Event))
    several = [part for part in alternatives if part not in singly]
    listed = frozenset(model for part in several for model in _events_in(name, part))
    return Handler(
        name,
        event,
        function,
        len(parameters) == 2,
        returned | early,
        not several,
        singly - listed - early,
        retry,
        timeout_ms,
    )


def _hints(name: str, function: HandlerFunction) -> dict[str, typing.Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise DeclarationError(f"{name}: its annotations name something unknown: {error}") from error


def _events_in(name: str, annotation: object) -> Iterable[type[Event]]:
    """The event classes in `A | B`, `list[A]`, `None` and their combinations."""
    if annotation is None or annotation is type(None):
        return
    if isinstance(annotation, type) and issubclass(annotation, Event):
        if not is_declared(annotation):
            raise DeclarationError(f"{name} may return {annotation.__name__}, which has no topic= and type=")
        yield annotation
        return
    origin = typing.get_origin(annotation)
    unions_and_lists = (typing.Union, types.UnionType, list, tuple, Sequence, Iterable)
    if origin not in unions_and_lists:
        raise DeclarationError(
            f"{name}: {annotation!r} in its return annotation is no event, list of events or None"
        )
    for argument in typing.get_args(annotation):
        if argument is not Ellipsis:
            yield from _events_in(name, argument)


def _alternatives(annotation: object) -> tuple[object, ...]:
    """`A`, `list[B]` and `None` of `A | list[B] | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _listed(name: str, returned: Returned) -> Sequence[Event]:
    match returned:
        case None:
            return ()
        case Event():
            return (returned,)
        case list() | tuple() if all(isinstance(event, Event) for event in returned):
            return returned
    raise UndeclaredEvent(f"{name} returned {returned!r:.200}, which is no event, list of events or None")
