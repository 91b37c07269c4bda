"""What was written into a dialog, by the names of its fields."""

from collections.abc import Mapping
from typing import TypeAlias

from saga.core.errors import SagaError

Fields: TypeAlias = Mapping[str, str]


class UnusableFields(SagaError):
    """What was written into a dialog can't be used. The message says what is wrong with it."""
