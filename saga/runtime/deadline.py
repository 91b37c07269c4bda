"""A deadline that costs nothing to whoever never waits."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


async def within(seconds: float | None, work: Coroutine[Any, Any, Result]) -> Result:
    """Await a coroutine, for so many seconds at most; None means without end.

    The timer is set only when the coroutine waits for something: until then nothing could interrupt
    it anyway, and most handlers are done by then. A timer is an eighth of what such a handler costs.

    Raises
    ------
    TimeoutError
        The coroutine was still waiting then, and has been cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _Begun(work, waits_for)


class _Begun(Generic[Result]):
    """The rest of a coroutine that has been started by hand, in the task that started it."""

    def __init__(self, work: Coroutine[Any, Any, Result], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Result]:
        work, waits_for = self._work, self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except BaseException as error:
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(sent)
            except StopIteration as done:
                result: Result = done.value
                return result
