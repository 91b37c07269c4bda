"""What a handler's signature says, and what it may return."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

import pytest

from saga import ONCE, Context, DeclarationError, Event, UndeclaredEvent
from saga.core.envelope import Envelope
from saga.core.handler import Handler, HandlerFunction, handler_of


class BellRung(Event, topic="bells", type="bell.rung"):
    pass


class DoorOpened(Event, topic="doors", type="door.opened"):
    pass


class DoorShut(Event, topic="doors", type="door.shut"):
    pass


class Undeclared(Event):
    pass


async def one(bell: BellRung) -> DoorOpened:
    return DoorOpened()


async def either(bell: BellRung) -> DoorOpened | DoorShut | None:
    return None


async def old_style(bell: BellRung) -> Optional[Union[DoorOpened, DoorShut]]:  # noqa: UP007, UP045
    return None


async def many(bell: BellRung) -> list[DoorOpened | DoorShut]:
    return [DoorOpened(), DoorShut()]


async def pair(bell: BellRung) -> tuple[DoorOpened, ...]:
    return ()


async def several(bell: BellRung) -> Sequence[DoorOpened] | Iterable[DoorShut]:
    return ()


async def nothing(bell: BellRung) -> None:
    return None


async def with_context(bell: BellRung, context: Context) -> None:
    return None


async def bare(bell, context) -> None:  # type: ignore[no-untyped-def]
    return None


async def any_event(event: Event) -> None:
    return None


def subscribed(function: HandlerFunction, **more: Any) -> Handler:
    return handler_of(function, BellRung, retry=ONCE, timeout_ms=None, **more)


def context() -> Context:
    return Context(Envelope("e-1", "bell.rung", "house", "saga-1", 0), "bells", 0, 7, "house.one", 1)


@pytest.mark.parametrize(
    ("function", "publishes"),
    [
        (one, {DoorOpened}),
        (either, {DoorOpened, DoorShut}),
        (old_style, {DoorOpened, DoorShut}),
        (many, {DoorOpened, DoorShut}),
        (pair, {DoorOpened}),
        (several, {DoorOpened, DoorShut}),
        (nothing, set()),
    ],
)
def test_the_return_annotation_declares_what_a_handler_publishes(
    function: HandlerFunction, publishes: set[type[Event]]
) -> None:
    assert subscribed(function).publishes == publishes


@pytest.mark.parametrize(
    ("function", "always", "once"),
    [
        (one, True, {DoorOpened}),
        (either, False, {DoorOpened, DoorShut}),
        (old_style, False, {DoorOpened, DoorShut}),
        (many, False, set()),
        (several, False, set()),
        (nothing, False, set()),
    ],
)
def test_the_return_annotation_says_whether_something_comes_each_time_and_how_often(
    function: HandlerFunction, always: bool, once: set[type[Event]]
) -> None:
    handler = subscribed(function)

    assert handler.always == always
    assert handler.once == once
    assert subscribed(function, publishes=[DoorOpened]).once == once - {DoorOpened}


def test_more_may_be_declared_for_publishing_through_the_context() -> None:
    assert subscribed(one, publishes=[DoorShut]).publishes == {DoorOpened, DoorShut}


@pytest.mark.parametrize(
    ("function", "wants_context"), [(one, False), (any_event, False), (with_context, True), (bare, True)]
)
def test_a_second_parameter_is_the_context(function: HandlerFunction, wants_context: bool) -> None:
    assert subscribed(function).wants_context == wants_context


def blocking(bell: BellRung) -> None:
    return None


async def no_parameter() -> None:
    return None


async def three(bell: BellRung, context: Context, more: int) -> None:
    return None


async def keyword_only(bell: BellRung, *, context: Context) -> None:
    return None


async def variadic(*bells: BellRung) -> None:
    return None


async def second_is_no_context(bell: BellRung, times: int = 3) -> None:
    return None


async def other_event(door: DoorOpened) -> None:
    return None


async def no_annotation(bell: BellRung):  # type: ignore[no-untyped-def]
    return None


async def no_event(bell: BellRung) -> str:
    return ""


async def bare_list(bell: BellRung) -> list:  # type: ignore[type-arg]
    return []


async def no_topic(bell: BellRung) -> Undeclared:
    return Undeclared()


async def unknown_name(bell: BellRung) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
    return None


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (blocking, "must be `async def`"),
        (no_parameter, "must take the event"),
        (three, "must take the event"),
        (keyword_only, "must take the event"),
        (variadic, "must take the event"),
        (second_is_no_context, "second parameter is a Context"),
        (other_event, "subscribed to BellRung but its first parameter"),
        (no_annotation, "has no return annotation"),
        (no_event, "is no event, list of events or None"),
        (bare_list, "is no event, list of events or None"),
        (no_topic, "Undeclared, which has no topic="),
        (unknown_name, "'Nowhere' is not defined"),
        (functools.partial(with_context), "has no name"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_with_the_reason(function: Any, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        subscribed(function)


def test_a_handler_can_not_be_subscribed_to_what_has_no_topic() -> None:
    with pytest.raises(DeclarationError, match="has no topic= and type="):
        handler_of(any_event, Undeclared, retry=ONCE, timeout_ms=None)


@pytest.mark.parametrize(
    ("returned", "events"),
    [
        (None, []),
        (DoorOpened(), [DoorOpened()]),
        ([DoorOpened(), DoorShut()], [DoorOpened(), DoorShut()]),
        ((DoorShut(),), [DoorShut()]),
        ([], []),
    ],
)
def test_a_handler_returns_an_event_several_or_none(returned: Any, events: list[Event]) -> None:
    assert list(subscribed(many).checked(returned)) == events


def test_what_was_published_through_the_context_comes_first() -> None:
    given = context()
    given.publish(DoorShut())

    assert list(subscribed(many).checked(DoorOpened(), given.published)) == [DoorShut(), DoorOpened()]


@pytest.mark.parametrize("returned", ["text", 0, False, [None], [DoorOpened(), "text"], {DoorOpened: 1}])
def test_returning_what_is_no_event_is_undeclared(returned: Any) -> None:
    with pytest.raises(UndeclaredEvent, match="which is no event"):
        subscribed(many).checked(returned)


def test_returning_another_event_names_both_and_the_mend() -> None:
    with pytest.raises(
        UndeclaredEvent, match=r"returned DoorShut, but declares DoorOpened\. Add DoorShut to"
    ):
        subscribed(one).checked(DoorShut())


def test_publishing_another_event_through_the_context_is_undeclared() -> None:
    given = context()
    given.publish(BellRung())

    with pytest.raises(UndeclaredEvent, match="BellRung"):
        subscribed(one).checked(DoorOpened(), given.published)


def test_a_subclass_of_a_declared_event_is_not_that_event() -> None:
    class DoorOpenedWide(DoorOpened):
        pass

    with pytest.raises(UndeclaredEvent, match="DoorOpenedWide"):
        subscribed(one).checked(DoorOpenedWide())


def test_the_context_tells_the_saga_and_a_key_for_the_outside() -> None:
    assert context().saga_id == "saga-1"
    assert context().idempotency_key == "house.one:e-1"
