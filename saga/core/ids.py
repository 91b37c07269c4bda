"""Ids that follow from their cause, so that a repeated handler run repeats them."""

from hashlib import sha1

# The namespace of all derived ids. Chosen once at random; never change it: ids would no longer repeat.
_NAMESPACE = bytes.fromhex("6f4b1d7ac01e4b5f9a62d4a1c7f0e835")


def derived_id(cause: str, handler: str, index: int) -> str:
    """The id of the `index`-th event that `handler` (service.function) returns for the event `cause`.

    A UUID version 5 (RFC 9562, section 5.5) over cause, handler and index: the same run gives the
    same id wherever and however often it happens.
    """
    digest = sha1(b"%b%b\0%b\0%d" % (_NAMESPACE, cause.encode(), handler.encode(), index)).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
