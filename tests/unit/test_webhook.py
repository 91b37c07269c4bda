"""An event as the request that tells of it: form, signature, and what answers mean."""

import json
from base64 import b64decode
from datetime import UTC, datetime

import pytest

from saga.core.errors import DeclarationError, NotAnEvent
from tests.facts import NOON_MS
from tracker.core.cloudevent import cloud_event
from tracker.core.effect import Alert
from tracker.core.webhook import (
    Message,
    Verdict,
    backoff_ms,
    message,
    place,
    read_secrets,
    read_urls,
    request_headers,
    retry_after_ms,
    verdict,
    written_secret,
)

# The example of the specification's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALERT = Alert("a-1", "s-1", "o-1042", "order", 1, "breach", NOON_MS, "charge-fast: breached", "charge-fast")
NOON = datetime(2025, 10, 9, 12, 0, 0, tzinfo=UTC)


def test_an_alert_is_a_structured_cloud_event() -> None:
    record = cloud_event(ALERT)

    told = message(record.headers, record.value)

    assert (told.id, told.type) == ("a-1", "saga.alert.breach")
    event = json.loads(told.body)
    assert event.pop("data")["message"] == "charge-fast: breached"
    assert event == {
        "specversion": "1.0",
        "id": "a-1",
        "source": "tracker",
        "type": "saga.alert.breach",
        "time": "2025-10-09T12:00:00.000Z",
        "correlationid": "s-1",
        "datacontenttype": "application/json",
    }


def test_data_that_is_no_json_is_base64() -> None:
    record = cloud_event(ALERT)

    assert b64decode(json.loads(message(record.headers, b"\xff").body)["data_base64"]) == b"\xff"
    assert "data" not in json.loads(message(record.headers, None).body)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(NotAnEvent, match="ce_source, ce_type missing"):
        message([("ce_id", b"1"), ("ce_specversion", b"1.0"), ("other", None)], b"{}")


def test_the_signature_is_that_of_the_specification() -> None:
    told = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", "t", b'{"test": 2432232314}')

    assert request_headers(told, 1_614_265_330, read_secrets(SECRET)) == {
        "content-type": "application/cloudevents+json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_with_two_secrets_there_are_two_signatures() -> None:
    secrets = read_secrets(f"{SECRET}, {written_secret(bytes(32))}")

    assert len(secrets) == 2
    first, second = request_headers(Message("m", "t", b"{}"), 0, secrets)["webhook-signature"].split(" ")
    assert first != second


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), ("whsec_%%%", "number 1 is not base64"), ("whsec_MfKQ", "number 1 has 3 bytes")],
)
def test_what_is_no_secret_is_refused_without_being_shown(text: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason) as refusal:
        read_secrets(text)
    assert "saga webhooks --new-secret" in str(refusal.value)
    assert not text or text not in str(refusal.value)


def test_urls_are_separated_by_commas_or_spaces_and_counted_once() -> None:
    assert read_urls("http://a/x, https://b:8443 http://a/x") == ("http://a/x", "https://b:8443")


@pytest.mark.parametrize(
    "text", ["", "example.com/hook", "ftp://a", "http://", "http://a:99999", "http://[a"]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="SAGA_WEBHOOK_URLS"):
        read_urls(text)


def test_the_place_of_a_url_has_no_secrets() -> None:
    assert place("https://user:word@example.com:8443/hook?token=1#x") == "https://example.com:8443/hook"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "never"),
        (400, "never"),
        (401, "never"),
        (408, "again"),
        (410, "never"),
        (429, "again"),
        (500, "again"),
        (503, "again"),
    ],
)
def test_a_status_says_whether_to_try_again(status: int, expected: Verdict) -> None:
    assert verdict(status) == expected


@pytest.mark.parametrize(
    ("value", "expected_ms"),
    [
        (None, 0),
        ("", 0),
        ("7", 7_000),
        (" 0 ", 0),
        ("-3", 0),
        ("soon", 0),
        ("9" * 40, 999_999_999_000),
        ("Thu, 09 Oct 2025 12:00:30 GMT", 30_000),
        ("Thu, 09 Oct 2025 11:00:00 GMT", 0),
        ("Thu, 99 Oct 2025 11:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected_ms: int) -> None:
    assert retry_after_ms(value, NOON) == expected_ms


def test_each_wait_is_twice_as_long_up_to_a_bound_and_never_quite_the_same() -> None:
    assert [backoff_ms(attempt, 100, 1_000, 0.0) for attempt in range(1, 7)] == [
        100,
        200,
        400,
        800,
        1000,
        1000,
    ]
    assert backoff_ms(1, 100, 1_000, 1.0) == 50
    assert backoff_ms(10_000, 100, 1_000, 0.5) == 750
