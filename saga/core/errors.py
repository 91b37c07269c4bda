"""Every error this project raises, in one tree.

SagaError
├── DeclarationError      an event, handler or service is declared wrongly; raised at import or start
├── MalformedRecord       a record that no handler can be given; it is dead-lettered
│   ├── NotAnEvent            the CloudEvents headers are missing or unreadable
│   ├── UnknownEventType      nobody declares this type, or this version of it
│   └── SchemaViolation       the data is not what the event's model demands
├── UndeclaredEvent       a handler returned what its annotation does not name
├── EventTooLarge         a handler returned more than a Kafka record may hold
├── DeadLetter            raised by a handler: give this event up at once, with this reason
├── KafkaUnavailable      no broker answers, or it refuses what we need
│   └── AccessRefused         it does not believe who we are, or does not allow us what we need
└── LocalKafkaError       the Apache Kafka of this machine (saga.local.errors has its kinds)
"""


class SagaError(Exception):
    """Root of the tree: catch it to catch everything that is ours."""


class DeclarationError(SagaError):
    """An event, handler, service or setting is declared wrongly. The message names it and the mend."""


class MalformedRecord(SagaError):
    """A record that no handler can be given."""


class NotAnEvent(MalformedRecord):
    """The record lacks the headers of a CloudEvent. Send ce_id, ce_source, ce_type, ce_specversion."""


class UnknownEventType(MalformedRecord):
    """No event class of this process declares this type or version. Declare it, or tell the service
    `unknown="ignore"`.
    """


class SchemaViolation(MalformedRecord):
    """The data does not fit the event's model. Mend the producer, or give the event a new version."""


class UndeclaredEvent(SagaError):
    """A handler returned an event that its annotation does not name. Add the type to the annotation."""


class EventTooLarge(SagaError):
    """A handler returned more than SAGA_EVENT_BYTES_MAX. Publish a reference to the data instead."""


class DeadLetter(SagaError):
    """Raised by a handler that knows a retry is in vain: the event goes to the dead letters at once.

    The message is the reason that operators read.
    """


class KafkaUnavailable(SagaError):
    """No broker answers, or it refuses what is asked. The message names the address and the mend."""


class AccessRefused(KafkaUnavailable):
    """Kafka does not believe who we are, or does not allow us what we need: another attempt won't mend it.

    The message names the principal, the operation and the resource, and the command that grants it.
    """


class LocalKafkaError(SagaError):
    """The Apache Kafka of this machine can't be had, started or stopped."""
