"""Kafka over TLS and SASL: who comes in, and what those are told who do not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from saga.core.errors import AccessRefused, KafkaUnavailable
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, connection, ensure_topics, reader, until_available
from saga.runtime.login import principal
from saga.runtime.settings import KafkaSettings
from tests.certificates import Authority
from tests.integration.secured import PASSWORD, PLAIN_USER, SecuredKafka

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secured(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    secured = SecuredKafka(tmp_path_factory.mktemp("secured"))
    with secured.broker:
        asyncio.run(secured.add_user("orders"))
        yield secured


@pytest.fixture(autouse=True)
async def goodbye() -> AsyncIterator[None]:
    """aiokafka does not wait for the goodbye of TLS connections that it closes: the loop would end before."""
    yield
    open_ones = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        while len(open_ones) > 1:  # the loop's own
            await asyncio.sleep(0.01)


WAYS = [
    ("SASL_PLAINTEXT", "orders", "SCRAM-SHA-256"),
    ("SASL_PLAINTEXT", "orders", "SCRAM-SHA-512"),
    ("SASL_PLAINTEXT", PLAIN_USER, "PLAIN"),
    ("SASL_SSL", "orders", "SCRAM-SHA-256"),
    ("SASL_SSL", "orders", "SCRAM-SHA-512"),
    ("SASL_SSL", PLAIN_USER, "PLAIN"),
    ("SSL", "orders", ""),
]


@pytest.mark.parametrize(("protocol", "user", "mechanism"), WAYS, ids=lambda value: str(value))
async def test_a_client_is_who_it_says_and_may_do_what_that_one_may(
    secured: SecuredKafka, protocol: str, user: str, mechanism: str
) -> None:
    settings = secured.settings(protocol, user, mechanism)
    who = f"User:{'CN=' if protocol == 'SSL' else ''}{user}"
    topic = f"way-{protocol}-{mechanism}"
    await ensure_topics(secured.admin, [Topic(topic, 1)])
    assert principal(settings) == who

    await until_available(settings)
    await secured.allow(
        f"kafka-acls.sh --bootstrap-server any --add --allow-principal {who} --operation Read "
        f"--operation Write --topic {topic}"
    )
    async with AIOKafkaProducer(**connection(settings), enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"it is me")
    async with reader(settings, topic) as consumer:
        assert (await consumer.getone()).value == b"it is me"


async def refused(settings: KafkaSettings) -> str:
    """What somebody is told who is not let in. He would wait two minutes otherwise: the test would fail."""
    async with asyncio.timeout(30):
        with pytest.raises(AccessRefused) as refusal:
            await until_available(settings)
    assert PASSWORD not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize(
    ("user", "mechanism"),
    [
        ("orders", "SCRAM-SHA-512"),
        ("orders", "SCRAM-SHA-256"),
        (PLAIN_USER, "PLAIN"),
        ("nobody", "SCRAM-SHA-512"),
    ],
)
async def test_a_wrong_password_is_told_at_once(
    secured: SecuredKafka, protocol: str, user: str, mechanism: str
) -> None:
    told = await refused(secured.settings(protocol, user, mechanism, sasl_password="wrong"))

    assert f"does not believe that we are User:{user}" in told
    assert "SAGA_SASL_USERNAME" in told
    assert "wrong" not in told


async def test_a_broker_of_another_authority_is_not_trusted(secured: SecuredKafka, tmp_path: Path) -> None:
    other = str(Authority(tmp_path, "other").certificate)

    for protocol in ("SASL_SSL", "SSL"):
        told = await refused(secured.settings(protocol, "orders", tls_ca=other))
        assert "certificate that is not to be trusted" in told
        assert "SAGA_TLS_CA" in told
    assert "not to be trusted" in await refused(secured.settings("SASL_SSL", "orders", tls_ca=""))


async def test_a_broker_must_have_the_name_it_is_reached_by(secured: SecuredKafka) -> None:
    port = secured.servers("SASL_SSL").rpartition(":")[2]
    elsewhere = {"bootstrap_servers": f"localhost:{port}"}

    told = await refused(secured.settings("SASL_SSL", "orders", **elsewhere))
    assert "localhost" in told
    await until_available(secured.settings("SASL_SSL", "orders", **elsewhere, tls_check_hostname=False))


async def test_a_client_needs_a_certificate_where_the_broker_asks_for_one(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path).issue("orders")
    for given in (
        {"tls_certificate": "", "tls_key": ""},
        {"tls_certificate": str(certificate), "tls_key": str(key)},
    ):
        told = await refused(secured.settings("SSL", "orders", **given))
        assert "does not accept our certificate" in told
        assert "SAGA_TLS_CERTIFICATE" in told


@pytest.mark.parametrize(
    ("protocol", "listener"),
    [
        ("PLAINTEXT", "SASL_PLAINTEXT"),
        ("PLAINTEXT", "SASL_SSL"),
        ("PLAINTEXT", "SSL"),
        ("SSL", "PLAINTEXT"),
        ("SASL_SSL", "SASL_PLAINTEXT"),
        ("SASL_PLAINTEXT", "SASL_SSL"),
    ],
)
async def test_the_wrong_protocol_for_a_listener_names_the_setting(
    secured: SecuredKafka, protocol: str, listener: str
) -> None:
    """Brokers hang up without a word, as they do when they stop: so it is tried again for a while."""
    settings = secured.settings(
        protocol, "orders", bootstrap_servers=secured.servers(listener), connect_timeout_seconds=1
    )

    with pytest.raises(KafkaUnavailable, match=rf"SAGA_SECURITY_PROTOCOL \(now {protocol}\)"):
        await until_available(settings)
