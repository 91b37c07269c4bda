"""A payment provider to try things with: the card number says what happens, as test cards do."""

import asyncio
import hashlib
import os

DECLINED_CARD = "4000-0000-0000-0002"
SLOW_CARD = "4000-0000-0000-3220"
FLAKY_CARD = "4000-0000-0000-0119"
BROKEN_CARD = "4000-0000-0000-0069"


class CardRefused(Exception):
    """The bank says no, and will say no again."""


class ProviderUnavailable(Exception):
    """The provider did not answer; another try may help."""


class Provider:
    """Charges cards. Latency is SAGA_DEMO_PAYMENT_MS milliseconds; 0 answers at once."""

    def __init__(self) -> None:
        self._latency_seconds = int(os.environ.get("SAGA_DEMO_PAYMENT_MS", "0")) / 1000
        self._asked: set[str] = set()

    async def charge(self, card: str, amount: float, *, idempotency_key: str) -> str:
        """Charge an amount and return the payment's id, the same for the same key.

        Raises
        ------
        CardRefused, ProviderUnavailable
        """
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        match card:
            case "4000-0000-0000-0002":
                raise CardRefused("insufficient funds")
            case "4000-0000-0000-3220":
                await asyncio.sleep(3)
            case "4000-0000-0000-0119" if idempotency_key not in self._asked:
                self._asked.add(idempotency_key)
                raise ProviderUnavailable("no answer from the acquiring bank")
            case "4000-0000-0000-0069":
                raise ProviderUnavailable("the acquiring bank is down")
        self._asked.discard(idempotency_key)
        return "pay_" + hashlib.sha256(f"{idempotency_key}:{amount}".encode()).hexdigest()[:16]

    async def refund(self, payment_id: str, amount: float, *, idempotency_key: str) -> None:
        """Give an amount of a payment back."""
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
