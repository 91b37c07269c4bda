"""When a failed handler is tried again, and where it waits meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from saga.core.duration import duration_ms
from saga.core.errors import DeadLetter, DeclarationError, EventTooLarge, UndeclaredEvent

Order = Literal["given-up", "kept"]


@dataclass(frozen=True)
class TryAgain:
    """The handler runs again after `delay_ms`, in place or by way of a retry topic."""

    delay_ms: int
    in_place: bool


class Retry:
    """How often and after what delays a failed handler is tried again.

    Parameters
    ----------
    attempts : runs in all, the first one included.
    delays : waiting time before the second, third, … attempt; the last one repeats. Durations such
        as "100ms" or "10s".
    in_place : delays up to this wait inside the service: the event's key waits, other keys go on.
        Longer ones wait in a retry topic, one for each delay, and hold up nobody.
    order : what long delays do to the order of events with the same key. "given-up" (the default):
        later events of the key overtake the one in the retry topic. "kept": every delay is waited
        in place, so the key stands still until the event is handled or dead-lettered.
    unless : exceptions that are no use to retry; the event is dead-lettered at once, as after
        `DeadLetter`.

    Raises
    ------
    DeclarationError
        No attempt at all, or no delay although there is more than one attempt.
    """

    def __init__(
        self,
        attempts: int = 5,
        delays: Sequence[str] = ("100ms", "1s", "10s", "1m"),
        *,
        in_place: str = "1s",
        order: Order = "given-up",
        unless: tuple[type[Exception], ...] = (),
    ) -> None:
        if attempts < 1:
            raise DeclarationError(f"Retry(attempts={attempts}): one attempt is the least there can be")
        if attempts > 1 and not delays:
            raise DeclarationError(f"Retry(attempts={attempts}) needs at least one delay, such as '1s'")
        self.attempts = attempts
        self.delays_ms = tuple(duration_ms(delay) for delay in delays)[: attempts - 1]
        self.in_place_ms = duration_ms(in_place)
        self.order = order
        self._final: tuple[type[BaseException], ...] = (
            DeadLetter,
            EventTooLarge,
            UndeclaredEvent,
            *unless,
        )

    def after(self, attempt: int, error: BaseException) -> TryAgain | None:
        """What follows the failure of attempt number `attempt`; None means the dead letters."""
        if attempt >= self.attempts or isinstance(error, self._final):
            return None
        delay = self.delays_ms[min(attempt, len(self.delays_ms)) - 1]
        return TryAgain(delay, self.order == "kept" or delay <= self.in_place_ms)

    @property
    def tiers_ms(self) -> frozenset[int]:
        """The delays that need a retry topic."""
        if self.order == "kept":
            return frozenset()
        return frozenset(delay for delay in self.delays_ms if delay > self.in_place_ms)


ONCE = Retry(attempts=1, delays=())
