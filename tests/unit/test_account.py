"""What became of sagas, in numbers: counted from what the core decides."""

from msgspec import structs

from tests import play
from tests.play import CHARGE_FAST, ORDER, Play, published
from tracker.core.account import Account, Census
from tracker.core.course import Course
from tracker.core.frame import EventSeen
from tracker.core.saga import Saga


class Books:
    """An account and a census that are kept while a saga goes on."""

    def __init__(self) -> None:
        self.saga = Play(structs.replace(ORDER, rules=(CHARGE_FAST,)))
        self.account = Account()
        self.census = Census()

    def tell(self, *facts: EventSeen, now: int) -> None:
        before = course_of(self.saga.saga)
        self.saga.tell(*facts, now=now)
        after = self.saga.saga
        assert after is not None
        if after.course is not before:
            self.account.decided(before, after)
            self.census.count(0, before, after.course)

    def in_flight(self) -> dict[tuple[str, str], int]:
        return {place: count for place, count in self.census.total().items() if count}


def course_of(saga: Saga | None) -> Course | None:
    return None if saga is None else saga.course


def test_a_saga_that_ends_well_is_in_flight_until_then_and_timed() -> None:
    books = Books()
    books.tell(play.placed(), play.reserved(), now=50)
    assert books.in_flight() == {("order", "open"): 1}

    books.tell(play.charged(), play.dispatched(2_030), now=2_050)
    assert books.in_flight() == {}
    [(place, duration)] = books.account.durations.items()
    assert place == ("order", "completed")
    assert (sum(duration.counts), round(duration.sum, 2)) == (1, 2.03)


def test_a_warning_and_a_breach_count_once_each() -> None:
    books = Books()
    books.tell(play.placed(), play.reserved(0), now=50)
    for now in (4_100, 4_200, 5_100, 9_000):
        books.tell(now=now)
    books.tell(play.charged(9_500), now=10_000)  # it is noted by how much it came late: no news

    assert books.account.breaches == {
        ("order", "charge-fast", "warned"): 1,
        ("order", "charge-fast", "breached"): 1,
    }


def test_undos_count_by_what_became_of_them() -> None:
    books = Books()
    books.tell(play.placed(), play.reserved(), play.charged(), now=50)
    books.tell(play.lost(), now=60)
    assert books.in_flight() == {("order", "compensating"): 1}
    (refund,) = published(books.saga.effects)
    books.tell(play.undone(refund, "payment.refunded", 70), now=80)
    for now in (1_200, 2_400, 3_600, 4_800):  # nobody releases the stock, however often it is asked for
        books.saga.wall_ms += 1_200
        books.tell(now=now)

    assert books.account.compensations == {
        ("order", "payment.charged", "undone"): 1,
        ("order", "stock.reserved", "stuck"): 1,
    }
    assert books.in_flight() == {("order", "stuck"): 1}


def test_what_has_no_flow_is_not_counted() -> None:
    books = Books()
    books.tell(play.seen("e9", "mail.sent", 0), now=50)

    assert books.in_flight() == {}
    assert not books.account.durations


def test_partitions_that_are_given_up_take_their_sagas_with_them() -> None:
    census = Census()
    census.count(0, None, Course("order", 1))
    census.count(1, None, Course("order", 1))
    census.begin(1)
    assert census.total() == {("order", "open"): 1}

    census.forget()
    assert not census.total()
