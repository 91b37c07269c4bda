"""Which events were handled lately, so that a repeat is not handled again."""


class Memory:
    """The newest `limit` keys at least, and up to twice as many: two generations, no clock.

    A key is any string that names an event, such as source and id.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def add(self, key: str) -> None:
        """Remember a key; the oldest ones are forgotten when there are too many."""
        if self._limit == 0:
            return
        self._young.add(key)
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, set()

    def discard(self, key: str) -> None:
        """Forget a key, since what was done with it has been dropped."""
        self._young.discard(key)
        self._old.discard(key)
