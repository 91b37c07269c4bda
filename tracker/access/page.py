"""The pages of sign-in and sign-out: plain HTML, without JavaScript, light or dark as the reader likes."""

import base64
import hashlib
from html import escape
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from tracker.access.headers import form_policy

_STYLE = """
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#16181d;--soft:#5b6270;--line:#cfd4dc;
--main:#1f5fbf;--on-main:#fff;--bad:#b3261e;--bad-ground:#fdecea}
@media (prefers-color-scheme:dark){:root{--ground:#101318;--card:#191d24;--ink:#e8eaee;--soft:#a3abb8;
--line:#3a414d;--main:#8ab4f8;--on-main:#0b1a33;--bad:#ffb4ab;--bad-ground:#3b1513}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--ground);
color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:22rem;background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:2rem}
h1{margin:0;font-size:1.375rem;line-height:1.3}
p{margin:.25rem 0 0;color:var(--soft)}
.bad{margin-top:1rem;padding:.625rem .75rem;border-radius:8px;background:var(--bad-ground);color:var(--bad);
overflow-wrap:anywhere}
form{margin-top:1.5rem}
label{display:block;margin-top:1rem;font-size:.875rem;font-weight:600}
input{width:100%;margin-top:.25rem;padding:.625rem .75rem;border:1px solid var(--line);border-radius:8px;
background:var(--ground);color:inherit;font:inherit}
button,.button{display:block;width:100%;margin-top:1.5rem;padding:.6875rem;border:0;border-radius:8px;
background:var(--main);color:var(--on-main);font:inherit;font-weight:600;text-align:center;
text-decoration:none;cursor:pointer}
.second{background:none;color:var(--main);border:1px solid var(--line)}
:focus-visible{outline:3px solid var(--main);outline-offset:2px}
"""
_STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = form_policy(_STYLE_HASH)


def sign_in_page(
    *, next_: str, form: bool, provider: bool, error: str = "", name: str = "", status: int = 200
) -> HTMLResponse:
    """`form`: for name and password; `provider`: a way to the OpenID provider; `error`: why it failed."""
    parts = ["<h1>Sign in</h1><p>to the saga dashboard</p>"]
    if error:
        parts.append(f'<p class="bad" role="alert">{escape(_sentence(error))}</p>')
    if provider:
        kind = "button second" if form else "button"
        query = escape(urlencode({"next": next_}))
        parts.append(f'<a class="{kind}" href="/sign-in/oidc?{query}">Sign in with single sign-on</a>')
    if form:
        focus = "autofocus" if not name else ""
        focus_password = "autofocus" if name else ""
        parts.append(
            '<form method="post" action="/sign-in">'
            f'<input type="hidden" name="next" value="{escape(next_)}">'
            '<label for="name">Name</label><input id="name" name="name" autocomplete="username" '
            f'autocapitalize="none" spellcheck="false" required {focus} value="{escape(name)}">'
            '<label for="password">Password</label><input id="password" name="password" type="password" '
            f'autocomplete="current-password" required {focus_password}>'
            "<button>Sign in</button></form>"
        )
    return _page("Sign in", "".join(parts), status)


def sign_out_page(name: str) -> HTMLResponse:
    """Asks, because a link to here must sign nobody out."""
    body = (
        f"<h1>Sign out?</h1><p>You are signed in as {escape(name)}.</p>"
        '<form method="post" action="/sign-out"><button>Sign out</button></form>'
        '<a class="button second" href="/">Back</a>'
    )
    return _page("Sign out", body, 200)


def signed_out_page(provider_url: str) -> HTMLResponse:
    """`provider_url`: where the browser goes on to, to be signed out there as well; "" for nowhere."""
    # Not a redirect: browsers follow none from a form to another site where form-action forbids it.
    goes_on = f'<meta http-equiv="refresh" content="0;url={escape(provider_url)}">' if provider_url else ""
    more = (
        f'<a class="button second" href="{escape(provider_url)}">Sign out at the provider too</a>'
        if provider_url
        else ""
    )
    body = f'<h1>You are signed out</h1>{more}<a class="button" href="/sign-in">Sign in again</a>'
    return _page("Signed out", body, 200, goes_on)


def _page(title: str, body: str, status: int, head: str = "") -> HTMLResponse:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'{head}<title>{title} · saga</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )
    return HTMLResponse(text, status, {"content-security-policy": _POLICY})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
