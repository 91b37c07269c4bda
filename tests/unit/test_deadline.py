"""A deadline is armed only for a coroutine that waits, and changes nothing else about it."""

import asyncio

import pytest

from saga.runtime.deadline import within


async def test_a_coroutine_that_does_not_wait_gives_its_result() -> None:
    async def answer() -> int:
        return 42

    assert await within(0.001, answer()) == 42


async def test_a_coroutine_that_waits_gives_its_result() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return 42

    assert await within(10, answer()) == 42


async def test_a_coroutine_that_waits_too_long_is_cancelled() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    assert ended == [True]


@pytest.mark.parametrize("waits", [True, False])
async def test_an_error_passes(waits: bool) -> None:
    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(10, fail())


async def test_a_timeout_within_belongs_to_the_coroutine() -> None:
    async def give_up_early() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "early"
        return "late"

    assert await within(10, give_up_early()) == "early"


async def test_cancelling_the_task_cancels_the_coroutine() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(within(None, hang()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_tasks_of_the_coroutine_go_on() -> None:
    async def gather() -> list[int]:
        async def double(number: int) -> int:
            await asyncio.sleep(0)
            return 2 * number

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(double(number)) for number in range(3)]
        return [task.result() for task in tasks]

    assert await within(10, gather()) == [0, 2, 4]
