"""Which events are parked, which are given back, and in what order."""

from saga.core.parking import Parking, Place

PLACE: Place = ("orders", 3)
OTHER: Place = ("orders", 4)


def anywhere(place: Place) -> bool:
    return True


def put(parking: Parking[str], *names: str, saga: str = "s", place: Place = PLACE) -> None:
    for name in names:
        parking.put(name.encode(), saga, place, int(name[1:]), name)


def test_without_paused_sagas_nothing_is_asked() -> None:
    parking = Parking[str]()
    found = [parking.active]
    parking.pause("s")
    found.append(parking.active)
    put(parking, "e1")
    parking.resume("s")
    found.append(parking.active)
    parking.remove(b"e1")
    found.append(parking.active)

    assert found == [False, True, True, False], "what is parked counts as well"


def test_nothing_is_given_back_while_the_saga_is_paused() -> None:
    parking = Parking[str]()
    parking.pause("s")
    put(parking, "e1")

    assert parking.take(anywhere, 9) == []


def test_what_was_parked_is_given_back_once_and_in_its_order() -> None:
    """Compaction leaves the last record of each key, so the order in the topic says nothing."""
    parking = Parking[str]()
    parking.pause("s")
    put(parking, "e9", "e1", "e5")
    parking.resume("s")

    assert parking.take(anywhere, 2) == ["e1", "e5"]
    assert parking.take(anywhere, 2) == ["e9"]
    assert parking.take(anywhere, 2) == []


def test_others_wait_until_the_topic_says_that_it_is_done_with() -> None:
    parking = Parking[str]()
    parking.pause("s")
    parking.sent(b"e1", "s", PLACE)
    parking.resume("s")
    assert parking.waits("s", PLACE), "it is on its way to the topic"
    put(parking, "e1")
    assert parking.take(anywhere, 9) == ["e1"]
    assert parking.waits("s", PLACE), "it is being handled"
    assert not parking.waits("s", OTHER)
    assert not parking.waits("other", PLACE)

    parking.remove(b"e1")

    assert not parking.waits("s", PLACE)


def test_only_what_was_published_on_our_partitions_is_given() -> None:
    parking = Parking[str]()
    put(parking, "e1", place=OTHER)
    put(parking, "e2")

    assert parking.take(lambda place: place == PLACE, 9) == ["e2"]
    parking.begin()
    assert parking.take(anywhere, 9) == ["e1", "e2"]


def test_what_is_parked_once_more_keeps_its_turn() -> None:
    parking = Parking[str]()
    put(parking, "e1", "e2")
    assert parking.take(anywhere, 1) == ["e1"]
    parking.pause("s")
    parking.sent(b"e1", "s", PLACE)
    put(parking, "e1")
    assert parking.take(anywhere, 9) == []

    parking.resume("s")

    assert parking.take(anywhere, 9) == ["e1", "e2"]


def test_what_is_parked_once_more_holds_up_what_comes_after_it() -> None:
    parking = Parking[str]()
    put(parking, "e1", "e2", "e3")
    put(parking, "e4", place=OTHER)
    assert parking.take(anywhere, 2) == ["e1", "e2"]
    parking.pause("s")
    parking.sent(b"e1", "s", PLACE)
    parking.resume("s")

    assert parking.returns(b"e2"), "it is on its way to its handler already"
    assert parking.take(anywhere, 9) == ["e4"], "e3 would overtake e1"
    assert not parking.returns(b"e4")
    put(parking, "e1")
    assert not parking.returns(b"e1")
    assert parking.take(anywhere, 9) == ["e1"]
    assert parking.returns(b"e2"), "it may come to its handler before e1, still"
    parking.sent(b"e2", "s", PLACE)
    put(parking, "e2")
    assert parking.take(anywhere, 9) == ["e2", "e3"]


def test_what_waits_for_one_that_never_comes_back_goes_on() -> None:
    parking = Parking[str]()
    put(parking, "e1", "e2")
    assert parking.take(anywhere, 1) == ["e1"]
    parking.sent(b"e1", "s", PLACE)
    assert parking.take(anywhere, 9) == []

    parking.remove(b"e1")

    assert parking.take(anywhere, 9) == ["e2"]


def test_what_was_not_committed_is_given_again() -> None:
    parking = Parking[str]()
    put(parking, "e1")
    parking.sent(b"e2", "s", PLACE)
    assert parking.take(anywhere, 9) == ["e1"]

    parking.begin()

    assert parking.take(anywhere, 9) == ["e1"]
    parking.remove(b"e1")
    assert not parking.waits("s", PLACE), "what was on its way never came there"


def test_what_is_unknown_is_removed_without_a_word() -> None:
    parking = Parking[str]()
    parking.remove(b"e1")
    parking.resume("s")
    assert not parking.active
