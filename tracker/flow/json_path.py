"""JSONPath (RFC 9535), as much of it as names a single value: names and places in arrays, no filters.

So `$.order.id`, `$['case:concept:name']` and `$.lines[0].sku`, but neither `$..id` nor `$.lines[*]`,
which may find several values where an attribute has one.
"""

import re

from msgspec import DecodeError, json

from tracker.core.correlation import PathStep

LENGTH_MAX = 500

_NAME = re.compile(r"\.([A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)", re.ASCII)
_INDEX = re.compile(r"\[\s*(0|-?[1-9]\d{0,8})\s*\]", re.ASCII)
_QUOTED = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""")
_SEVERAL = re.compile(r"\.\.|\[\s*[*?]|\.\*|\[[^\]'\"]*[:,]")


class PathRefused(Exception):
    """The text is no such path; `column` counts from its first character, the message says why."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


def json_path(text: str) -> tuple[PathStep, ...]:
    """The steps from the whole document to the value: `json_path("$.lines[0].sku") == ("lines", 0, "sku")`.

    Raises
    ------
    PathRefused
        The text is no JSONPath, or one that can find several values.
    """
    if len(text) > LENGTH_MAX:
        raise PathRefused(1, f"a path of {len(text):,} characters, but {LENGTH_MAX} are the most")
    if not text.startswith("$"):
        raise PathRefused(1, f"a path begins with `$`, which is the whole record: $.{text:.60}")
    steps: list[PathStep] = []
    position = 1
    while position < len(text):
        if found := _NAME.match(text, position):
            steps.append(found[1])
        elif found := _INDEX.match(text, position):
            steps.append(int(found[1]))
        elif found := _QUOTED.match(text, position):
            steps.append(_unquoted(found, position))
        elif _SEVERAL.match(text, position):
            message = "this can find several values: name each step with `.name`, `['name']` or `[0]`"
            raise PathRefused(position + 1, message)
        else:
            message = "this is no JSONPath: go on with `.name`, `[0]`, or `['any name']` where it has other"
            raise PathRefused(position + 1, f"{message} characters than letters, digits and _")
        position = found.end()
    if not steps:
        raise PathRefused(1, "`$` is the whole record: name a value in it, such as $.order_id")
    return tuple(steps)


def _unquoted(found: re.Match[str], position: int) -> str:
    single, double = found[1], found[2]
    if single is not None:
        # The same escapes as in JSON, but for the quotes.
        single = re.sub(r"""\\.|\"""", lambda each: {"\\'": "'", '"': '\\"'}.get(each[0], each[0]), single)
    try:
        return json.decode(f'"{double if single is None else single}"', type=str)
    except (DecodeError, UnicodeEncodeError) as error:
        raise PathRefused(position + 1, f"this name can't be read: {error}") from error
