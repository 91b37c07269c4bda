"""Random texts that give access, and the hashes that are kept instead of them."""

import hashlib
import secrets

_BYTES = 32
TOKEN_PREFIX = "saga_"
"""So that scanners of repositories find a token that was committed."""


def new_secret() -> str:
    """43 characters that nobody guesses."""
    return secrets.token_urlsafe(_BYTES)


def kept(secret: str) -> str:
    """What may be stored: nobody gets from it to a secret of 256 random bits, so one fast hash will do."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
