"""What is wrong with a flow file, where, and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from msgspec import Struct

_LIKE_ENOUGH = 0.7
_DOTTED_LIKE_ENOUGH = 0.8  # names such as payment.charged and payment.refunded share half of their letters


class Place(NamedTuple):
    """Line and column, counted from 1 as editors do."""

    line: int = 1
    column: int = 1


class Problem(Struct, frozen=True, order=True):
    """One thing to mend. `suggestion` is what was probably meant, "" if nothing is near."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    @property
    def told(self) -> str:
        """The message with the suggestion."""
        return f"{self.message}; did you mean {self.suggestion}?" if self.suggestion else self.message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.told}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one; "" if none is like it."""
    cutoff = _DOTTED_LIKE_ENOUGH if "." in word else _LIKE_ENOUGH
    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=cutoff)), "")
