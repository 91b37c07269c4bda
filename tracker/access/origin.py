"""Which requests come from our own pages, and which were sent by another site in a user's name."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD"})
NEXT_LENGTH_MAX = 2_000

_FRAMES = frozenset({"iframe", "frame", "object", "embed"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def cross_site(method: str, headers: Mapping[str, str], origins: Collection[str]) -> str:
    """Why a request is refused as another site's, or "". `headers` by lower-case names.

    A browser tells with Sec-Fetch-Site, or at least with Origin whenever something is changed; what has
    neither comes from no browser, which is what the cookie of a user could be stolen from.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None and origin.lower() in origins:
        return ""
    if site in ("same-origin", "none"):
        return ""
    if method not in SAFE_METHODS:
        return "it was sent by a page of another site" if site or origin is not None else ""
    if site is None:
        return ""
    if headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site asks for it"
    return "it would be shown inside another site" if headers.get("sec-fetch-dest") in _FRAMES else ""


def cross_site_socket(headers: Mapping[str, str], origins: Collection[str]) -> str:
    """The same for a WebSocket, which any site may open: browsers always say who does."""
    origin = headers.get("origin")
    if origin is None or origin.lower() in origins:
        return ""
    return "it was opened by a page of another site"


def origin_of(url: str) -> str:
    """Scheme, host and port as browsers write them, "" if there is no such thing in it."""
    try:
        parts = urlsplit(url.strip().lower())
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        usual = parts.port is None or parts.port == _DEFAULT_PORTS[parts.scheme]
        return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"
    except ValueError:
        return ""


def host_name(host: str) -> str:
    """The name or address in a Host header, without its port; "" if it is none."""
    try:
        return urlsplit(f"//{host.lower()}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches, or means, this name or address."""
    name = host.lower().strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def safe_next(path: str | None) -> str:
    """Where to go after the sign-in: a page of ours, or the first one."""
    if not path or len(path) > NEXT_LENGTH_MAX or not path.startswith("/"):
        return "/"
    # Browsers take a backslash for a slash, and leave control characters out: //host is another site.
    if path.startswith("//") or "\\" in path or not path.isprintable():
        return "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    inside = not parts.scheme and not parts.netloc and not parts.path.startswith("/sign-")
    return path if inside else "/"
