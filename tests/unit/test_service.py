"""Declaring services."""

import gc

import pytest
from msgspec import structs

from saga import DeclarationError, Event, Retry, Service
from saga.core.receipt import Publication, ServiceAnnouncement, Subscription


class KeyTurned(Event, topic="locks", type="key.turned"):
    pass


class KeyTurnedTwice(Event, topic="locks", type="key.turned", version=2):
    pass


class LockOpened(Event, topic="locks", type="lock.opened"):
    pass


class AlarmRaised(Event, topic="alarms", type="alarm.raised"):
    pass


def locks() -> Service:
    service = Service("locks", publishes=[AlarmRaised], description="Opens")

    @service.on(KeyTurned, retry=Retry(2, ["1s"]), timeout="5s")
    async def turn(key: KeyTurned) -> LockOpened | None:
        return None

    @service.on(KeyTurnedTwice, timeout=None, publishes=[AlarmRaised])
    async def turn_twice(key: KeyTurnedTwice) -> LockOpened:
        return LockOpened()

    return service


@pytest.mark.parametrize("name", ["", "Locks", "1st", "a_b", "a" * 65, "a.b", "ö"])
def test_a_name_that_kafka_or_a_url_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="is no service name"):
        Service(name)


def test_a_service_handles_at_least_one_key_at_a_time() -> None:
    with pytest.raises(DeclarationError, match="1 is the least"):
        Service("locks", concurrency=0)


def test_handlers_are_found_by_type_and_version() -> None:
    handlers = locks().handlers

    assert {key: handler.name for key, handler in handlers.items()} == {
        ("key.turned", 1): "turn",
        ("key.turned", 2): "turn_twice",
    }
    assert handlers["key.turned", 1].timeout_ms == 5_000
    assert handlers["key.turned", 1].retry.attempts == 2
    assert handlers["key.turned", 2].timeout_ms is None
    assert locks().topics == {"locks"}


def test_a_handler_is_still_the_function_it_was() -> None:
    service = Service("locks")

    async def turn(key: KeyTurned) -> None:
        return None

    assert service.on(KeyTurned)(turn) is turn


def test_an_event_type_has_one_handler() -> None:
    service = locks()

    with pytest.raises(DeclarationError, match=r"handles key\.turned version 1 with turn already"):

        @service.on(KeyTurned)
        async def again(key: KeyTurned) -> None:
            return None


def test_a_service_announces_what_it_reads_and_publishes() -> None:
    told = locks().announcement()
    assert structs.replace(told, events=[]) == ServiceAnnouncement(
        "locks",
        [
            Subscription("key.turned", "locks", "turn"),
            Subscription("key.turned", "locks", "turn_twice", always=True),
        ],
        [
            Publication("alarm.raised", "alarms", ""),
            Publication("alarm.raised", "alarms", "turn_twice"),
            Publication("lock.opened", "locks", "turn", once=True),
            Publication("lock.opened", "locks", "turn_twice", once=True),
        ],
        "exactly-once",
        "Opens",
    )
    versions = [(event.type, event.version) for event in told.events]
    assert versions == [("alarm.raised", 1), ("key.turned", 1), ("key.turned", 2), ("lock.opened", 1)]


def test_a_service_announces_its_version_if_it_has_one() -> None:
    assert Service("locks", version="2.3.1").announcement().version == "2.3.1"
    assert locks().announcement().version == ""


def test_every_event_class_of_the_process_is_known() -> None:
    known = Service("locks").known_types()

    assert {("key.turned", 1), ("key.turned", 2), ("alarm.raised", 1)} <= known
    assert ("key.turned", 3) not in known


def test_two_classes_that_contradict_each_other_are_refused() -> None:
    class LockOpenedElsewhere(Event, topic="elsewhere", type="lock.opened"):
        pass

    with pytest.raises(DeclarationError, match=r"both declare lock\.opened version 1"):
        locks().known_types()
    # A class is known as long as it lives, and other tests ask for the known types too.
    del LockOpenedElsewhere
    gc.collect()
    assert locks().known_types()
