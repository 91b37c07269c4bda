"""Where sagas stand still: one alarm for a spot, however many stand there."""

from collections.abc import Mapping

from msgspec import structs

from tests.facts import NOON_MS
from tracker.core.contract.standstill import OVER, RAISED, Alarms, Raised, Spot, Standstill, standstills
from tracker.core.contract.stuck import Stuck
from tracker.core.effect import Alert

AFTER_MS = 30_000
PAID = Spot("order", "order.placed", "payments")
SENT = Spot("order", "payment.charged", "")


def here(sagas: int = 1, spot: Spot = PAID) -> dict[Spot, Standstill]:
    return {spot: Standstill(sagas, NOON_MS - 12_000)}


class Watching:
    """Alarms that are asked every five seconds, and tell at once."""

    def __init__(self, raised: Mapping[Spot, Raised] | None = None) -> None:
        self.alarms = Alarms(raised or {}, AFTER_MS)
        self.now_ms = NOON_MS
        self.told: list[Alert] = []

    def see(self, found: Mapping[Spot, Standstill], seconds: int) -> list[str]:
        """The causes that are told in so many seconds in which this is seen."""
        before = len(self.told)
        for _ in range(0, seconds, 5):
            news = self.alarms.look(found, self.now_ms)
            self.alarms.told(news, found)
            self.told += news
            self.now_ms += 5_000
        return [alert.cause for alert in self.told[before:]]


def test_an_alarm_is_raised_once_when_sagas_have_stood_for_a_while_and_taken_back_once() -> None:
    watching = Watching()

    assert watching.see(here(), 30) == []
    assert watching.see(here(3), 600) == [RAISED]
    assert watching.see({}, 30) == []
    assert watching.see({}, 600) == [OVER]
    raised, over = watching.told
    assert (raised.flow, raised.key, raised.saga, raised.at_ms) == (
        "order",
        "payments/order.placed",
        "",
        NOON_MS + 30_000,
    )
    assert "3 sagas stand still: payments did not answer order.placed as soon as usual" in raised.message
    assert "the first for 42 s. `saga list --stuck --flow order` lists them" in raised.message
    assert over.message.startswith("sagas go on again, or are over, where payments did not answer")
    assert raised.id != over.id


def test_a_late_beat_is_not_told_nor_is_a_short_rest() -> None:
    watching = Watching()

    for _ in range(5):
        assert watching.see(here(), 25) == []
        assert watching.see({}, 5) == []
    assert watching.see(here(), 60) == [RAISED]
    for _ in range(5):
        assert watching.see({}, 25) == []
        assert watching.see(here(), 5) == []


def test_each_place_has_its_alarm() -> None:
    watching = Watching()

    assert watching.see(here() | here(1, SENT), 60) == [RAISED, RAISED]
    assert watching.see(here(), 60) == [OVER]
    assert [alert.key for alert in watching.told] == [
        "payments/order.placed",
        "/payment.charged",
        "/payment.charged",
    ]
    assert "1 saga stands still: nothing followed payment.charged" in watching.told[1].message


def test_ten_times_as_many_are_told_again() -> None:
    watching = Watching()

    assert watching.see(here(4), 60) == [RAISED]
    assert watching.see(here(39), 600) == []
    many = {PAID: Standstill(1_000, NOON_MS - 12_000, more=True)}
    assert watching.see(many, 600) == [RAISED]
    assert "at least 1,000 sagas stand still" in watching.told[-1].message
    assert watching.see({}, 60) == [OVER]
    assert len({alert.id for alert in watching.told}) == 3


def test_who_takes_over_tells_nothing_again() -> None:
    watching = Watching({PAID: Raised("alert-1", NOON_MS)})

    assert watching.see(here(50), 600) == []
    assert watching.see(here(500), 60) == [RAISED]
    assert watching.see({}, 60) == [OVER]
    again = Watching({PAID: Raised("alert-1", NOON_MS)})
    assert again.see({}, 60) == [OVER]
    assert again.see(here(), 60) == [RAISED]


def test_what_could_not_be_told_is_told_with_the_next_look() -> None:
    alarms = Alarms({}, AFTER_MS)
    alarms.look(here(), NOON_MS)
    first = alarms.look(here(), NOON_MS + AFTER_MS)
    again = alarms.look(here(), NOON_MS + AFTER_MS + 5_000)

    assert [alert.id for alert in first] == [alert.id for alert in again]
    assert len(first) == 1


def test_a_place_counts_sagas_and_the_longest_wait() -> None:
    def wait(since_ms: int, event: str, spot: Spot = PAID) -> Stuck:
        return Stuck(since_ms, since_ms + 10_000, event, spot.type, spot.service)

    guess = structs.replace(wait(1, "e"), guessed=True)
    waits = [[wait(3, "a"), wait(2, "b")], [], [guess], [wait(5, "c"), wait(7, "d", SENT), guess]]
    found = standstills("order", waits, more=False)

    assert found == {PAID: Standstill(2, 2), SENT: Standstill(1, 7)}
    assert [Spot.of(spot.flow, spot.key) for spot in found] == list(found)
