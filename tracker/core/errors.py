"""The errors of the tracker, a branch of the tree in `saga.core.errors`.

SagaError
├── UnreadableSaga        bytes of the saga table are no saga of this format
└── NothingTracked        there is no saga table yet
"""

from saga.core.errors import SagaError


class UnreadableSaga(SagaError):
    """The bytes are no saga of this format: corrupt, or written by another version of the tracker."""


class NothingTracked(SagaError):
    """The topic of the saga table does not exist. Start the tracker with `saga track`."""
