"""What all pages of a process ask through: a question that several viewers have is asked once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from tracker.api.context import Context
from tracker.view.known import Known

Answer = TypeVar("Answer")

KEPT_MS = 900
"""As long an answer is good for others as well: shorter than what people notice."""
LOOK_SECONDS_MAX = 2.0
_ANSWERS_MAX = 500


class _Kept(NamedTuple, Generic[Answer]):
    asked_ms: int
    answer: asyncio.Task[Answer]


class Desk:
    """The surroundings of the pages. `context` is the one of the API, `trace_url` as in the settings."""

    def __init__(self, context: Context, trace_url: str = "") -> None:
        self.context = context
        self.trace_url = trace_url
        self._kept: dict[Hashable, _Kept[object]] = {}
        self._looked: dict[str, _Kept[object]] = {}

    @property
    def now_ms(self) -> int:
        return self.context.now_ms()

    @property
    def known(self) -> Known:
        return self.context.known()

    async def ask(self, key: Hashable, question: Callable[..., Answer], *args: object) -> Answer:
        """What the question answers, or has answered `KEPT_MS` ago at most under the same key.

        The key names what is asked: the arguments without the time. Raises what `Reader.ask` does.
        """
        now_ms = self.now_ms
        kept = self._kept.get((question, key))
        if kept is None or not 0 <= now_ms - kept.asked_ms < KEPT_MS:
            self._forget(now_ms)
            asked = asyncio.ensure_future(self.context.reader.ask(question, *args))
            kept = self._kept[question, key] = _Kept(now_ms, asked)
        # Who asks may go away; others wait for the same answer.
        return await asyncio.shield(kept.answer)  # type: ignore[arg-type]

    async def look(
        self,
        name: str,
        kept_ms: int,
        question: Callable[[], Awaitable[Answer]],
        wait_seconds: float = LOOK_SECONDS_MAX,
    ) -> Answer | None:
        """What something slow says that is no database, of `kept_ms` ago at most.

        None while it is asked, unless that takes no longer than `wait_seconds`. Raises what the
        question does.
        """
        kept = self._looked.get(name)
        now_ms = self.now_ms
        if kept is None or (kept.answer.done() and not 0 <= now_ms - kept.asked_ms < kept_ms):
            self._looked.pop(name, None)
            while len(self._looked) >= _ANSWERS_MAX:
                del self._looked[next(iter(self._looked))]
            kept = self._looked[name] = _Kept(now_ms, asyncio.ensure_future(question()))
            await asyncio.wait([kept.answer], timeout=wait_seconds)
        return kept.answer.result() if kept.answer.done() else None  # type: ignore[return-value]

    def forget(self) -> None:
        """Something has changed: what was answered is good for nobody any more."""
        self._kept.clear()

    def _forget(self, now_ms: int) -> None:
        self._kept = {key: kept for key, kept in self._kept.items() if 0 <= now_ms - kept.asked_ms < KEPT_MS}
        while len(self._kept) >= _ANSWERS_MAX:
            del self._kept[next(iter(self._kept))]
