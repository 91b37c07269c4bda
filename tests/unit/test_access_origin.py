"""Which requests are our own, where to go after a sign-in, and where a request came from."""

import string
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saga.core.errors import DeclarationError
from tracker.access.address import Way, counted_as, proxy_networks, way_of
from tracker.access.origin import (
    cross_site,
    cross_site_socket,
    host_name,
    is_loopback,
    origin_of,
    safe_next,
)

OURS = {"https://sagas.example.com"}
PROXIES = proxy_networks("10.0.0.0/8, ::1")


@pytest.mark.parametrize("path", ["/", "/sagas?status=stuck&key=a%2Fb#end", "/flows/order", "/ünter"])
def test_a_page_of_ours_is_where_one_goes_next(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "sagas",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n//evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nset-cookie: x=y",
        "/sign-out",
        "/sign-in?next=/sign-in",
        "/" + "a" * 2_000,
    ],
)
def test_nobody_is_sent_anywhere_else(path: str | None) -> None:
    assert safe_next(path) == "/"


@given(st.text(st.sampled_from("/\\:@.?#%\t\r\n \x00evil"), max_size=12))
@example("///evil")
def test_whatever_is_asked_for_browsers_stay_with_us(path: str) -> None:
    # What a browser makes of it: no control characters, and backslashes are slashes.
    seen = safe_next(path).translate({ord(letter): None for letter in "\t\r\n"}).replace("\\", "/")

    assert urlsplit(urljoin("https://sagas.example.com/sign-in", seen)).netloc == "sagas.example.com"


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("POST", {"sec-fetch-site": "same-origin"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ("POST", {"origin": "https://sagas.example.com"}, False),
        ("POST", {"origin": "https://SAGAS.example.com", "sec-fetch-site": "same-site"}, False),
        ("POST", {"origin": "https://evil.example"}, True),
        ("POST", {"origin": "http://sagas.example.com"}, True),
        ("POST", {"origin": "null"}, True),
        ("POST", {"origin": ""}, True),
        ("POST", {}, False),  # no browser
        ("DELETE", {"sec-fetch-site": "cross-site"}, True),
        ("OPTIONS", {"origin": "https://evil.example"}, True),
        ("GET", {}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, True),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, True),
        (
            "GET",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
            True,
        ),
    ],
)
def test_what_another_site_sends_is_refused(method: str, headers: dict[str, str], refused: bool) -> None:
    assert bool(cross_site(method, headers, OURS)) == refused


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"origin": "https://sagas.example.com"}, False),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({}, False),
    ],
)
def test_what_another_site_opens_is_refused(headers: dict[str, str], refused: bool) -> None:
    assert bool(cross_site_socket(headers, OURS)) == refused


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Sagas.Example.com/path", "https://sagas.example.com"),
        ("https://a:443", "https://a"),
        ("http://a:443", "http://a:443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("ftp://a", ""),
        ("a.example", ""),
        ("https://a:port", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_the_origin_of_a_url(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("host", "name", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("LOCALHOST", "localhost", True),
        ("saga.localhost:1", "saga.localhost", True),
        ("[::1]:80", "::1", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("evil.example:8080", "evil.example", False),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("[", "", False),
        ("", "", False),
    ],
)
def test_which_names_mean_this_machine(host: str, name: str, loopback: bool) -> None:
    assert host_name(host) == name
    assert is_loopback(name) == loopback


@pytest.mark.parametrize(
    ("peer", "forwarded", "proto", "way"),
    [
        ("1.2.3.4", "", "", Way("1.2.3.4", False, False)),
        ("1.2.3.4", "5.6.7.8", "https", Way("1.2.3.4", False, False)),  # no proxy of ours
        ("10.0.0.7", "5.6.7.8", "https", Way("5.6.7.8", True, True)),
        ("10.0.0.7", "6.6.6.6, 5.6.7.8", "http, https", Way("5.6.7.8", True, True)),  # 6.6.6.6 is a lie
        ("10.0.0.7", "5.6.7.8, 10.0.0.9", "", Way("5.6.7.8", False, True)),
        ("::1", "evil\r\nname", "https", Way("::1", True, True)),
        ("10.0.0.7", "", "", Way("10.0.0.7", False, True)),
        ("", "5.6.7.8", "https", Way("", False, False)),  # a socket of the file system
    ],
)
def test_only_our_proxies_say_where_a_request_came_from(
    peer: str, forwarded: str, proto: str, way: Way
) -> None:
    assert way_of(peer, "http", forwarded, proto, PROXIES) == way


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"SAGA_ACCESS_PROXIES.*proxy\.example"):
        proxy_networks("proxy.example")


def test_tries_are_counted_by_who_can_have_the_address() -> None:
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:1") != counted_as("2001:db8:0:1::1")
    assert counted_as("::ffff:1.2.3.4") == counted_as("1.2.3.4") != counted_as("1.2.3.5")


@given(st.text(string.printable, max_size=40))
def test_no_header_makes_it_fail(text: str) -> None:
    origin_of(text)
    host_name(text)
    counted_as(text)
    way_of("10.0.0.1", "http", text, text, PROXIES)
