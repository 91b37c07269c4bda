"""Events: immutable facts, declared as pydantic models with a type, a topic and a version."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import CoreSchema, PydanticSerializationError

from saga.core.errors import DeclarationError, SchemaViolation


@dataclass(frozen=True)
class Sensitive:
    """Marks a field whose value is masked wherever it is shown: `card: Annotated[str, Sensitive()]`."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "x-sensitive": True}


@dataclass(frozen=True)
class EventType:
    """What an event class declares of itself; `key` is the field whose value is the record's key."""

    name: str
    topic: str
    version: int
    key: str | None


class Event(BaseModel):
    """A fact. Subclass it with the names that stand on the wire:

        class OrderPlaced(Event, topic="orders", type="order.placed", version=1, key="order_id"):
            order_id: str

    `key` names the field that orders events; without it that is the saga id. A field that the class
    does not know is ignored, or refused with the further argument `extra="forbid"`. A class without
    `type` is a base for others and can't be published.

    Raises
    ------
    DeclarationError
        `topic` without `type` or the other way round, or a key that is no field.
    """

    model_config = ConfigDict(frozen=True)
    declared: ClassVar[EventType]

    def __init_subclass__(
        cls,
        *,
        topic: str | None = None,
        type: str | None = None,
        version: int = 1,
        key: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Pydantic hands the same arguments to the method below, where the fields are known.
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        topic: str | None = None,
        type: str | None = None,
        version: int = 1,
        key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if topic is None and type is None:
            return
        if not topic or not type:
            raise DeclarationError(f"{cls.__name__} needs both topic= and type=, such as topic='orders'")
        if key is not None and key not in cls.model_fields:
            raise DeclarationError(f"{cls.__name__}: key={key!r} is not one of its fields")
        cls.declared = EventType(type, topic, version, key)

    @classmethod
    def read(cls, data: bytes) -> "Event":
        """The event from its JSON bytes.

        Raises
        ------
        SchemaViolation
            The bytes are no JSON, or not what the model demands; the message says what and where.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise SchemaViolation(_explained(cls, error)) from error
        except Exception as error:
            # A validator of the model's author: pydantic passes on what is no ValueError.
            raise SchemaViolation(f"{_name(cls)}: a validator raised {type(error).__name__}") from error

    def write(self) -> bytes:
        """The event's data as JSON bytes."""
        try:
            return self.__pydantic_serializer__.to_json(self)
        except PydanticSerializationError as error:
            raise SchemaViolation(f"{self.declared.name} can't be written as JSON: {error}") from error

    @classmethod
    def schema_of_data(cls) -> dict[str, Any] | None:
        """The JSON Schema of what `write` gives; None where a field's type has none."""
        try:
            return cls.model_json_schema(mode="serialization")
        except PydanticInvalidForJsonSchema:
            return None

    def key(self) -> str | None:
        """The value of the key field; None where the saga id is the key, as it is when the field is None."""
        field = self.declared.key
        value = None if field is None else getattr(self, field)
        if isinstance(value, Enum):
            value = value.value
        return None if value is None else str(value)


def is_declared(model: object) -> bool:
    """Whether this is an event class with a type and a topic of its own, so that it can be published."""
    return isinstance(model, type) and issubclass(model, Event) and "declared" in model.__dict__


def declared_events(base: type[Event] = Event) -> Iterator[type[Event]]:
    """Every event class that this process has imported."""
    for model in base.__subclasses__():
        if is_declared(model):
            yield model
        yield from declared_events(model)


def _explained(model: type[Event], error: ValidationError) -> str:
    """Where and why, without the input: an error message is no place for somebody's card number."""
    reasons = (
        f"{'.'.join(map(str, reason['loc'])) or 'data'}: {reason['msg']}"
        for reason in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    )
    return f"{_name(model)}: {'; '.join(reasons)}"


def _name(model: type[Event]) -> str:
    return f"{model.declared.name} version {model.declared.version}"
