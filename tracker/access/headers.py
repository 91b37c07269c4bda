"""Headers that tell browsers what pages of ours may do, and others with them."""

_COMMON = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: forms would say `Origin: null` of themselves.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_STRICT_TRANSPORT = "max-age=31536000"

PAGES_POLICY = "; ".join(
    (
        "default-src 'self'",
        # NiceGUI writes its pages' code into them, and Vue compiles templates in the browser.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"


def form_policy(style_hash: str) -> str:
    """For a page of a form and one style, known by its hash: nothing else runs or is loaded."""
    return (
        f"default-src 'none'; style-src '{style_hash}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def security_headers(content_type: str, https: bool) -> dict[str, str]:
    """For an answer of this type; those that it has already stay as they are."""
    data = content_type.startswith(("application/json", "application/problem+json", "text/event-stream"))
    headers = {**_COMMON, "content-security-policy": DATA_POLICY if data else PAGES_POLICY}
    if data or content_type.startswith("text/html"):
        headers["cache-control"] = "no-store"
    if https:
        headers["strict-transport-security"] = _STRICT_TRANSPORT
    return headers
