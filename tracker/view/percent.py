"""Shares as people read them."""


def percent(share: float) -> str:
    """`45 %`; never 0 or 100 for what is only nearly so."""
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")
