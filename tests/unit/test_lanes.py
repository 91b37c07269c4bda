"""Order per key, concurrency across keys, on a real event loop; nothing here waits for a clock."""

import asyncio
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga.runtime.lanes import Lanes

LONG_SECONDS = 30.0
"""A bound that no test reaches unless something hangs."""


def never(error: BaseException) -> None:
    raise AssertionError("a handler failed") from error


class Work:
    """Handlers that wait until they are told to go on, and what could be seen of them."""

    def __init__(self, concurrency: int = 64) -> None:
        self.lanes: Lanes[tuple[str, int]] = Lanes(self.handle, concurrency, never)
        self.waiting: dict[tuple[str, int], asyncio.Future[None]] = {}
        self.handled: defaultdict[str, list[int]] = defaultdict(list)
        self.running: set[str] = set()
        self.running_max = 0
        self.at_once: set[tuple[str, int]] = set()

    def add(self, lane: str, number: int, *, waits: bool = True) -> None:
        if not waits:
            self.at_once.add((lane, number))
        self.lanes.add(lane, (lane, number))

    async def handle(self, item: tuple[str, int]) -> None:
        lane, number = item
        assert lane not in self.running
        self.running.add(lane)
        self.running_max = max(self.running_max, len(self.running))
        try:
            if item not in self.at_once:
                await self._told(item)
        finally:
            self.running.discard(lane)
        self.handled[lane].append(number)

    async def _told(self, item: tuple[str, int]) -> None:
        told = self.waiting[item] = asyncio.get_running_loop().create_future()
        try:
            await told
        finally:
            del self.waiting[item]

    def go_on(self, lane: str, number: int) -> None:
        self.waiting[lane, number].set_result(None)

    async def settled(self) -> None:
        """Return when every worker waits for something, or none is left."""
        for _ in range(100):
            await asyncio.sleep(0)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.booleans()), max_size=30),
    st.integers(0),
)
def test_each_lane_keeps_its_order_and_no_more_lanes_run_than_allowed(
    concurrency: int, items: list[tuple[str, bool]], seed: int
) -> None:
    async def scenario() -> Work:
        work, chance = Work(concurrency), random.Random(seed)
        unread = list(enumerate(items))
        while unread or work.waiting or not work.lanes.idle():
            for number, (lane, waits) in unread[: chance.randint(0, 4)]:
                work.add(lane, number, waits=waits)
                unread.remove((number, (lane, waits)))
            work.lanes.start()
            for _ in range(chance.randint(1, 4)):
                await asyncio.sleep(0)
            ready = [item for item, told in work.waiting.items() if not told.done()]
            if ready:
                work.go_on(*chance.choice(ready))
        await work.lanes.wait_idle(LONG_SECONDS)
        return work

    work = asyncio.run(scenario())

    assert work.running_max <= concurrency
    for lane in "abcdefg":
        assert work.handled[lane] == [number for number, (name, _) in enumerate(items) if name == lane]


async def test_a_handler_that_hangs_holds_up_its_own_lane_only() -> None:
    work = Work()
    work.add("slow", 1)
    work.add("slow", 2, waits=False)
    for number in range(3, 6):
        work.add(f"fast-{number}", number, waits=False)
    work.lanes.start()
    await work.settled()

    assert sorted(work.handled) == ["fast-3", "fast-4", "fast-5"]
    work.go_on("slow", 1)
    await work.settled()
    assert work.handled["slow"] == [1, 2]
    assert work.lanes.idle()


async def test_lanes_beyond_the_concurrency_begin_when_one_ends() -> None:
    work = Work(concurrency=2)
    for lane in "abc":
        work.add(lane, 1)
    work.lanes.start()
    await work.settled()

    assert set(work.waiting) == {("a", 1), ("b", 1)}
    work.go_on("b", 1)
    await work.settled()
    assert set(work.waiting) == {("a", 1), ("c", 1)}


async def test_handlers_that_never_wait_need_one_task() -> None:
    work = Work()
    for number in range(50):
        work.add(str(number), number, waits=False)
    before = len(asyncio.all_tasks())
    work.lanes.start()

    assert len(asyncio.all_tasks()) == before + 1
    await work.settled()
    assert len(work.handled) == 50
    assert len(asyncio.all_tasks()) == before


async def test_waiting_for_idle_ends_with_the_last_handler() -> None:
    work = Work()
    await work.lanes.wait_idle(LONG_SECONDS)  # idle from the beginning
    work.add("a", 1)
    work.lanes.start()
    waiting = asyncio.create_task(work.lanes.wait_idle(LONG_SECONDS))
    await work.settled()

    assert not waiting.done()
    work.go_on("a", 1)
    await work.settled()
    assert waiting.done()


async def test_waiting_for_idle_has_an_end_though_a_handler_hangs() -> None:
    work = Work()
    work.add("a", 1)
    work.lanes.start()
    await work.settled()
    await work.lanes.wait_idle(0)

    assert not work.lanes.idle()
    await work.lanes.cancel()


async def test_draining_lets_running_handlers_end_and_starts_no_more() -> None:
    work = Work()
    for number in (1, 2):
        work.add("a", number)
    work.lanes.start()
    await work.settled()
    draining = asyncio.create_task(work.lanes.drain(LONG_SECONDS))
    await work.settled()
    assert not draining.done()
    work.add("b", 3)
    work.lanes.start()
    work.go_on("a", 1)
    await draining

    assert work.handled == {"a": [1]}
    assert not work.waiting


async def test_draining_has_an_end_though_a_handler_hangs_and_cancelling_ends_it() -> None:
    work = Work()
    work.add("a", 1)
    work.add("a", 2)
    work.lanes.start()
    await work.settled()
    await work.lanes.drain(0)
    assert work.running == {"a"}

    await work.lanes.cancel()
    assert not work.running
    assert not work.handled
    assert work.lanes.idle()
    await work.lanes.wait_idle(LONG_SECONDS)


async def test_cancelling_before_anything_runs_drops_it() -> None:
    work = Work()
    work.add("a", 1, waits=False)
    work.lanes.start()
    await work.lanes.cancel()
    await work.settled()

    assert not work.handled
    assert work.lanes.idle()


async def test_a_handler_that_raises_is_a_bug_that_is_told() -> None:
    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def raises(item: int) -> None:
        raise ZeroDivisionError

    lanes: Lanes[int] = Lanes(raises, 1, told.set_result)
    lanes.add("a", 1)
    lanes.start()

    assert isinstance(await told, ZeroDivisionError)
    assert not lanes.idle()


@pytest.mark.parametrize("lanes", [1, 3])
async def test_an_item_added_while_its_lane_runs_comes_next(lanes: int) -> None:
    work = Work(concurrency=lanes)
    work.add("a", 1)
    work.lanes.start()
    await work.settled()
    work.add("a", 2, waits=False)
    work.lanes.start()
    await work.settled()
    assert not work.handled

    work.go_on("a", 1)
    await work.settled()
    assert work.handled["a"] == [1, 2]
