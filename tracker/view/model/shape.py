"""What many sagas have in common: where they stand, who has met them, what is wrong with them."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

SEPARATOR = "\n"
"""Stands before and after each name where a column holds several of them."""


class Shape(NamedTuple):
    """The columns of the table `shapes` that make one; `SagaRow` says what they mean.

    `described` is 1 where the flow file was known when the row was made, `timed` where a clock runs.
    """

    flow: str
    flow_version: int
    begins: str
    status: str
    place: str
    waiting_for: str
    services: str
    types: str
    edges: str
    findings: str
    described: int
    timed: int


@lru_cache(maxsize=100_000)
def shape_id(shape: Shape) -> int:
    """A number for the shape, the same in every process."""
    return text_id("\0".join(map(str, shape)))


@lru_cache(maxsize=10_000)
def text_id(text: str) -> int:
    """A number for a text, the same in every process."""
    # Two of a million texts have the same one in one of some forty million databases.
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def variant_number(id_: str) -> int:
    """The number that the table `sagas` has for this id of a variant.

    Raises
    ------
    ValueError
        It is none.
    """
    digits = bytes.fromhex(id_)
    if len(digits) != 8:
        raise ValueError(f"{id_!r} has not 16 hexadecimal digits")
    return int.from_bytes(digits, "big", signed=True)


def stored(text: str) -> str:
    """The text as the databases have it: PostgreSQL takes no NUL."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def several(names: Iterable[str]) -> str:
    """Names as one text that can be searched for each of them."""
    found = sorted(stored(name).replace(SEPARATOR, " ") for name in names)
    return SEPARATOR + SEPARATOR.join(found) + SEPARATOR if found else ""
