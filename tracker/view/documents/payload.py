"""The payload of an event."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import DecodeError, Struct, json

from tracker.core.masking import MASK, Schema, masked


class PayloadDocument(Struct, frozen=True):
    """The payload of an event as its record in Kafka has it, as far as it may be shown.

    Attributes
    ----------
    form : of `payload`: JSON as it is; a text, where it is no JSON; none for a record without a value.
    masked : JSON Pointers to what is masked; "" stands for all of it.
    schema_known : whether a service has announced what such an event consists of. Without that all is masked.
    trace : id of the W3C trace that it was published in; null if the record names none.
    """

    saga: str
    event: str
    type: str
    version: int
    topic: str
    partition: int
    offset: int
    form: Literal["json", "text", "none"]
    payload: Any
    masked: tuple[str, ...]
    schema_known: bool
    trace: str | None


class Place(Struct, frozen=True):
    """Which event it is, and where it stands."""

    saga: str
    event: str
    type: str
    version: int
    topic: str
    partition: int
    offset: int


def payload_document(
    place: Place, value: bytes | None, schemas: Sequence[Schema], *, trace: str = "", unmask: bool = False
) -> PayloadDocument:
    """The payload masked by the schemas of its type and version, or as it is."""
    form, told = _read(value)
    places: tuple[str, ...] = ()
    if not unmask and form != "none":
        told, places = masked(told, schemas) if form == "json" else (MASK, ("",))
    return PayloadDocument(
        place.saga,
        place.event,
        place.type,
        place.version,
        place.topic,
        place.partition,
        place.offset,
        form,
        told,
        places,
        bool(schemas),
        trace or None,
    )


def payload_text(document: PayloadDocument) -> str:
    """The payload as people read it."""
    if document.form != "json":
        return document.payload or ""
    return json.format(json.encode(document.payload), indent=2).decode()


def _read(value: bytes | None) -> tuple[Literal["json", "text", "none"], object]:
    if value is None:
        return "none", None
    try:
        return "json", json.decode(value)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return "text", value.decode(errors="replace")
