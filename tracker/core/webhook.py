"""An event as the HTTP request that tells somebody of it, and what the answer to that means.

Sources: CloudEvents 1.0.2, JSON format and HTTP binding (structured content mode); Standard Webhooks
1.0.0 for the headers, the signature and the secrets.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import DecodeError, Raw, json

from saga.core.envelope import Headers
from saga.core.errors import DeclarationError, NotAnEvent

CONTENT_TYPE = "application/cloudevents+json"

_SECRET_PREFIX = "whsec_"
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64
_REQUIRED = ("specversion", "id", "source", "type")
_TRACE_CONTEXT = ("traceparent", "tracestate")

Verdict = Literal["delivered", "again", "never"]


class Message(NamedTuple):
    """What is sent of an event: its id, and all of it as JSON."""

    id: str
    type: str
    body: bytes


def message(headers: Headers, value: bytes | None) -> Message:
    """The event of a record in binary mode, in structured JSON mode.

    Raises
    ------
    NotAnEvent
        The headers are not those of a CloudEvent.
    """
    attributes: dict[str, object] = {}
    for name, raw in headers:
        if raw is None:
            continue
        text = raw.decode(errors="replace")
        if name.startswith("ce_"):
            attributes[name.removeprefix("ce_")] = text
        elif name in _TRACE_CONTEXT:
            attributes[name] = text
        elif name == "content-type":
            attributes["datacontenttype"] = text
    missing = [f"ce_{name}" for name in _REQUIRED if name not in attributes]
    if missing:
        raise NotAnEvent(f"no CloudEvent: {', '.join(missing)} missing")
    told = Message(str(attributes["id"]), str(attributes["type"]), b"")
    return told._replace(body=json.encode(attributes | _data(value)))


def _data(value: bytes | None) -> dict[str, object]:
    if value is None:
        return {}
    try:
        json.decode(value)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return {"data_base64": b64encode(value).decode()}
    return {"data": Raw(value)}


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The keys to sign with, from secrets separated by spaces or commas: two while one is replaced.

    Raises
    ------
    DeclarationError
        There is none, or one that is no secret of Standard Webhooks.
    """
    way_out = "make one with `saga webhooks --new-secret`, and give it to those who receive"
    found = []
    for number, secret in enumerate(text.replace(",", " ").split(), 1):
        try:
            key = b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError) as error:
            raise DeclarationError(
                f"SAGA_WEBHOOK_SECRET: number {number} is not base64; {way_out}"
            ) from error
        if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
            raise DeclarationError(
                f"SAGA_WEBHOOK_SECRET: number {number} has {len(key)} bytes, but it takes "
                f"{_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX}; {way_out}"
            )
        found.append(key)
    if not found:
        raise DeclarationError(f"SAGA_WEBHOOK_SECRET is empty: webhooks are signed; {way_out}")
    return tuple(found)


def written_secret(key: bytes) -> str:
    """A key as people pass it on: `whsec_…`."""
    return _SECRET_PREFIX + b64encode(key).decode()


def read_urls(text: str) -> tuple[str, ...]:
    """The URLs of a list separated by spaces or commas, each once.

    Raises
    ------
    DeclarationError
        There is none, or one that is no URL of HTTP.
    """
    urls = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not urls:
        raise DeclarationError("SAGA_WEBHOOK_URLS is empty: say where events are to be sent to")
    for number, url in enumerate(urls, 1):
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise DeclarationError(
                f"SAGA_WEBHOOK_URLS: number {number} is no URL; it must be like https://example.com/hook"
            )
    return urls


def place(url: str) -> str:
    """The URL for logs: without what may be secret in it, user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def request_headers(told: Message, at_s: int, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers of an attempt at this second. The id is the same in each, so repeats can be told."""
    return {
        "content-type": CONTENT_TYPE,
        "webhook-id": told.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(_signatures(told, at_s, secrets)),
    }


def _signatures(told: Message, at_s: int, secrets: Iterable[bytes]) -> Iterable[str]:
    signed = b"%b.%d.%b" % (told.id.encode(), at_s, told.body)
    for secret in secrets:
        yield f"v1,{b64encode(hmac.digest(secret, signed, sha256)).decode()}"


def verdict(status: int) -> Verdict:
    """What an HTTP status says of a delivery. Redirects are not followed: who signs knows whom he tells."""
    if 200 <= status < 300:
        return "delivered"
    if status in (408, 425, 429) or status >= 500:
        return "again"
    return "never"


def retry_after_ms(value: str | None, now: datetime) -> int:
    """What `Retry-After` asks for, seconds or a date; 0 if it asks for nothing or can't be read."""
    if not value:
        return 0
    if value.strip().isdecimal():
        return int(value.strip()[:9]) * 1000
    try:
        at: datetime = parsedate_to_datetime(value)
    except ValueError:
        return 0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, round((at - now).total_seconds() * 1000))


def backoff_ms(attempt: int, first_ms: int, longest_ms: int, chance: float) -> int:
    """How long to wait after an attempt, counted from 1: twice as long each time, up to `longest_ms`.

    `chance` from 0 to 1 takes up to a half off: those that failed together do not come back together.
    """
    longest = min(longest_ms, first_ms << min(attempt - 1, 32))
    return round(longest * (1 - chance / 2))
