"""Words for numbers."""


def plural(count: int, one: str, many: str = "") -> str:
    """`1 saga`, `2,000 sagas`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
