"""Passwords: hashed with Argon2id, compared in the same time whether or not there is such a user."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from saga.core.errors import SagaError

LENGTH_MIN = 12
LENGTH_MAX = 256

_hasher = PasswordHasher()
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$mu/sqGKkwVmauDhmkfFt5w$16nBcsDZvy5h5Bf5Xjk2r96PsJL37mgIhcRaXe9K3x8"
"""The hash of nobody's password, as costly to compare as any."""


class UnusablePassword(SagaError):
    """The password is too short or too long."""


def hashed(password: str) -> str:
    """The text to keep instead of a password. Takes some 50 ms and 64 MiB.

    Raises
    ------
    UnusablePassword
        It has fewer than `LENGTH_MIN` or more than `LENGTH_MAX` characters.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        allowed = f"{LENGTH_MIN} to {LENGTH_MAX} characters"
        allowed = f"{LENGTH_MIN} to {LENGTH_MAX} characters"
        raise UnusablePassword(f"a password has {allowed}, this one {len(password)}")
    return _hasher.hash(_plain(password))


def matches(kept: str | None, password: str) -> bool:
    """Whether it is the password of this hash; None, where there is no such user, takes as long."""
    try:
        _hasher.verify(_NOBODY if kept is None else kept, _plain(password))
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def is_hash(text: str) -> bool:
    """Whether `hashed` could have made it."""
    try:
        _hasher.check_needs_rehash(text)
    except InvalidHashError:
        return False
    return text.startswith("$argon2id$")


def _plain(password: str) -> bytes:
    # Keyboards write the same letter in more than one way. Surrogates are no text, but some bytes.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
