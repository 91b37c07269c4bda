"""How many sign-ins may fail before the next one has to wait."""

from collections import OrderedDict
from typing import NamedTuple

FORGET_MS = 3_600_000
KEYS_MAX = 100_000
_DOUBLINGS_MAX = 30


class Rule(NamedTuple):
    """The first `free` failures cost nothing; each further one doubles the wait, from one second on."""

    free: int
    wait_max_ms: int


USER_RULE = Rule(free=5, wait_max_ms=60_000)
"""No longer than a minute: who knows a name could lock its owner out."""

ADDRESS_RULE = Rule(free=20, wait_max_ms=900_000)
"""Many people may share one."""


class _Failures(NamedTuple):
    failed: int
    last_ms: int
    until_ms: int


class Tries:
    """Failed sign-ins by a key, in memory; of more than `KEYS_MAX` the longest silent are forgotten."""

    def __init__(self, rule: Rule, keys_max: int = KEYS_MAX) -> None:
        self._rule = rule
        self._keys_max = keys_max
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def begin(self, key: str, now_ms: int) -> int:
        """0, and the try counts as failed until `succeeded`; or how many milliseconds to wait first.

        Counted before its outcome is known, so that tries at the same time are not all free.
        """
        found = self._failures.get(key)
        if found is not None and now_ms < found.until_ms:
            return found.until_ms - now_ms
        known = found is not None and now_ms - found.last_ms < FORGET_MS
        count = found.failed + 1 if found is not None and known else 1
        self._put(key, _Failures(count, now_ms, now_ms + self._wait_ms(count)))
        return 0

    def succeeded(self, key: str) -> None:
        """The owner has come: nothing is held against this key any more."""
        self._failures.pop(key, None)

    def take_back(self, key: str) -> None:
        """One try was none that failed. The others stay: an account of one's own buys no more of them."""
        found = self._failures.get(key)
        if found is not None:
            self._failures[key] = _Failures(found.failed - 1, found.last_ms, found.last_ms)

    def __len__(self) -> int:
        return len(self._failures)

    def _put(self, key: str, failures: _Failures) -> None:
        self._failures[key] = failures
        self._failures.move_to_end(key)
        if len(self._failures) > self._keys_max:
            self._failures.popitem(last=False)

    def _wait_ms(self, count: int) -> int:
        over = count - self._rule.free
        return 0 if over < 0 else min(1_000 * 2 ** min(over, _DOUBLINGS_MAX), self._rule.wait_max_ms)
