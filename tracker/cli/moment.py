"""Points in time for people, in UTC: what documents have as RFC 3339, or as a number where it is no date."""


def time_of_day(at: str) -> str:
    """`10:00:00.014`."""
    return at.partition("T")[2].rstrip("Z") or at


def date_and_time(at: str) -> str:
    """`2025-10-09 12:00:00 UTC`."""
    return f"{at[:10]} {at[11:19]} UTC" if "T" in at else at
