"""Telling one URL of events, with a real HTTP server at its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.http_receiver import receiver
from tracker.core.webhook import Message, read_secrets, request_headers
from tracker.runtime.settings import WebhookSettings
from tracker.runtime.webhooks import NotTaken, Receiver, open_session

SECRETS = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
TOLD = Message("m-1", "saga.alert.breach", b'{"id":"m-1"}')


@asynccontextmanager
async def telling(url: str, **settings: int) -> AsyncIterator[Receiver]:
    quick = {"webhook_retry_first_ms": 2, "webhook_retry_max_ms": 20, "webhook_attempts": 4} | settings
    how = WebhookSettings().model_copy(update=quick)
    async with open_session(how, 1) as session:
        yield Receiver(url, how, SECRETS, session)


async def test_an_event_is_told_signed_and_once() -> None:
    async with receiver() as server, telling(server.url) as hook:
        assert await hook.tell(TOLD) == 1

    [(headers, body)] = server.requests
    assert body == TOLD.body
    signed = request_headers(TOLD, int(headers["webhook-timestamp"]), SECRETS)
    assert {name: headers[name] for name in signed} == signed


async def test_who_fails_is_told_again_under_the_same_id() -> None:
    async with (
        receiver(answer=lambda _, times: (503 if times < 3 else 200, {})) as server,
        telling(server.url) as hook,
    ):
        assert await hook.tell(TOLD) == 3

    assert server.ids == ["m-1"] * 3


@pytest.mark.parametrize("status", [400, 404, 410, 301])
async def test_who_refuses_is_not_told_again(status: int) -> None:
    async with (
        receiver(answer=lambda _, __: (status, {"location": "/elsewhere"})) as server,
        telling(server.url) as hook,
    ):
        with pytest.raises(NotTaken, match=f"HTTP {status}, 1 attempt$"):
            await hook.tell(TOLD)

    assert len(server.requests) == 1


async def test_in_the_end_it_is_given_up() -> None:
    async with receiver(answer=lambda _, __: (500, {})) as server, telling(server.url) as hook:
        with pytest.raises(NotTaken, match="HTTP 500, 4 attempts"):
            await hook.tell(TOLD)


async def test_nobody_there_and_no_answer_in_time_are_tried_again() -> None:
    async with telling("http://127.0.0.1:1/hook") as hook:
        with pytest.raises(NotTaken, match="4 attempts"):
            await hook.tell(TOLD)
    async with receiver(delay_seconds=5) as server, telling(server.url, webhook_timeout_ms=50) as hook:
        with pytest.raises(NotTaken, match="no answer within 50 ms, 4 attempts"):
            await hook.tell(TOLD)


async def test_who_asks_for_time_gets_it_for_all_events() -> None:
    def answer(event: dict[str, object], times: int) -> tuple[int, dict[str, str]]:
        return (429, {"retry-after": "1"}) if (event["id"], times) == ("m-1", 1) else (200, {})

    async with receiver(answer=answer) as server, telling(server.url) as hook:
        began = time.monotonic()
        first = asyncio.create_task(hook.tell(TOLD))
        while not server.requests:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        await hook.tell(Message("m-2", "t", b'{"id":"m-2"}'))
        assert time.monotonic() - began >= 1
        assert await first == 2


async def test_nobody_can_ask_for_ever() -> None:
    async with (
        receiver(answer=lambda _, times: (429 if times == 1 else 200, {"retry-after": "9999"})) as server,
        telling(server.url, webhook_retry_after_max_ms=30) as hook,
    ):
        assert await hook.tell(TOLD) == 2


async def test_no_more_requests_at_the_same_time_than_allowed() -> None:
    async with receiver(delay_seconds=0.02) as server, telling(server.url, webhook_requests=2) as hook:
        told = [Message(f"m-{number}", "t", b'{"id":"m-%d"}' % number) for number in range(8)]
        await asyncio.gather(*map(hook.tell, told))

    assert (server.busiest, len(server.requests)) == (2, 8)


async def test_each_url_has_a_group_of_its_own_that_does_not_tell_its_secrets() -> None:
    async with telling("http://a/hook?token=secret") as one, telling("http://a/hook?token=other") as other:
        assert one.group != other.group
        assert one.place == other.place == "http://a/hook"
        assert "secret" not in one.group
