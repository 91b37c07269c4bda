"""Where somebody is: a path and what is asked for behind it, as it stands in the address line."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

LENGTH_MAX = 4_000
FIELDS_MAX = 50


class Place(NamedTuple):
    """A page and its filters; what is asked for twice counts once, the last of them."""

    path: str
    asked: Mapping[str, str]

    @property
    def href(self) -> str:
        return href(self.path, self.asked)

    def but(self, **changes: str | None) -> str:
        """The address with some of it changed, "" and None leave out; of a list the first page again."""
        kept = {name: value for name, value in self.asked.items() if name != "after"}
        return href(self.path, {**kept, **{name: value or "" for name, value in changes.items()}})


def place_of(url: str) -> Place:
    """Where a path with a query leads; the beginning for what is none."""
    try:
        parts = urlsplit(url[:LENGTH_MAX])
        asked = dict(parse_qsl(parts.query, max_num_fields=FIELDS_MAX))
    except ValueError:
        return Place("/", {})
    return Place("/" + parts.path.strip("/"), asked)


def href(path: str, asked: Mapping[str, str] | None = None) -> str:
    """An address; what is "" is left out."""
    query = urlencode({name: value for name, value in (asked or {}).items() if value}, quote_via=quote)
    return f"{path}?{query}" if query else path


def path_to(*parts: str) -> str:
    """`/sagas/0193…`; whatever the parts hold, they stay parts."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
