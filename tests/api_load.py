"""Many clients of the API at once: some ask one question after the other, others look on."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

ANSWER_SECONDS_MAX = 60

Question = tuple[str, str]
"""Its kind, and the path behind `/api/v1/`."""


@dataclass
class Load:
    """What became of it.

    Attributes
    ----------
    took_ms : by kind how long each answer took.
    errors : answers of another status than 200, and what else went wrong.
    heard : of each who looked on the revisions and the ids of the sagas that it was told, in their order.
    """

    took_ms: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    heard: list[tuple[list[int], list[str]]] = field(default_factory=list)

    @property
    def answers(self) -> list[float]:
        """How long each took, of all kinds."""
        return [ms for some in self.took_ms.values() for ms in some]


@contextlib.asynccontextmanager
async def loaded(
    url: str, asking: int, looking: int, question: Callable[[random.Random], Question]
) -> AsyncIterator[Load]:
    """So many clients of this server, each with a connection of its own, until the block ends.

    It begins when all who look on are told of what changes, and ends when the last question is answered.
    """
    load = Load()
    stop = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_SECONDS_MAX)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"{url}/api/v1/", connector=connector, timeout=timeout) as session:
        ready = [asyncio.Event() for _ in range(looking)]
        watchers = [asyncio.create_task(_look(session, load, event)) for event in ready]
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), ANSWER_SECONDS_MAX)
        askers = [
            asyncio.create_task(_ask(session, load, question, random.Random(number), stop))
            for number in range(asking)
        ]
        try:
            yield load
        finally:
            stop.set()
            await asyncio.gather(*askers)
            for watcher in watchers:
                if watcher.done():
                    load.errors.append(f"a stream ended: {watcher.exception()!r}")
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                    await watcher


async def _ask(
    session: aiohttp.ClientSession,
    load: Load,
    question: Callable[[random.Random], Question],
    chance: random.Random,
    stop: asyncio.Event,
) -> None:
    while not stop.is_set():
        kind, path = question(chance)
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX), session.get(path) as answer:
                body = await answer.read()
            if answer.status != 200:
                load.errors.append(f"{path}: {answer.status} {body[:200]!r}")
        except (aiohttp.ClientError, TimeoutError) as error:
            load.errors.append(f"{path}: {error!r}")
        load.took_ms.setdefault(kind, []).append((time.perf_counter() - begun) * 1000)


async def _look(session: aiohttp.ClientSession, load: Load, ready: asyncio.Event) -> None:
    revisions: list[int] = []
    ids: list[str] = []
    load.heard.append((revisions, ids))
    async with session.get("live") as answer:
        answer.raise_for_status()
        async for line in _lines(answer):
            name, _, value = line.partition(": ")
            if name == "id":
                revisions.append(int(value))
                ready.set()
            elif name == "data":
                ids += [saga["id"] for saga in json.loads(value).get("sagas", ())]


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """A line may be longer than aiohttp reads at once."""
    rest = b""
    async for some in answer.content.iter_any():
        *lines, rest = (rest + some).split(b"\n")
        for line in lines:
            yield line.decode()


def one_of(*questions: Sequence[Question]) -> Callable[[random.Random], Question]:
    """Any of these, each kind as often as the others."""
    return lambda chance: chance.choice(chance.choice(questions))
