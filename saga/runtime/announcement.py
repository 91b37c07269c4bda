"""What a service says of itself to everybody, when it begins."""

from msgspec import json

from saga.core.receipt import SERVICES_TOPIC
from saga.core.service import Service
from saga.runtime.kafka import AIOKafkaProducer


async def announce(service: Service, producer: AIOKafkaProducer) -> None:
    """Say on `saga.services` what the service handles and publishes, and return once Kafka has it."""
    announcement = service.announcement()
    await producer.send_and_wait(
        SERVICES_TOPIC, key=announcement.service.encode(), value=json.encode(announcement)
    )
