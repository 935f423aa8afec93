"""Which hosts and origins are let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import Refusal
from mcpserve.policy.origins import Origins

STRICT = Origins()


def status(origins: Origins, host: str | None, origin: str | None = None) -> int:
    """200, or the status of the refusal."""
    try:
        origins.check(*(None if text is None else text.encode("latin-1") for text in (host, origin)))
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:65535"]
)
def test_loopback_hosts(host: str) -> None:
    """The names of the machine itself, with or without a port."""
    assert status(STRICT, host) == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":8000",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "10.0.0.1",
        "[::1",
        "[::1]evil.example",
        "[::1]:80@evil.example",
        "[::2]",
        "::1",
        "localhost:80@evil.example",
        "localhost@evil.example",
        "localhost:",
        "localhost:x",
        "localhost:80:80",
        "localhost/evil",
        " localhost",
        "l\xf6calhost",
    ],
)
def test_other_hosts(host: str | None) -> None:
    """Anything else is refused with 421: it may be a name that an attacker made resolve to here."""
    assert status(STRICT, host) == 421


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "https://localhost:3000", "HTTP://LOCALHOST", "http://127.0.0.1:6274", "http://[::1]:1"],
)
def test_loopback_origins(origin: str) -> None:
    """Pages that the machine itself serves may call."""
    assert status(STRICT, "localhost", origin) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "https://localhost.evil.example",
        "http://localhost@evil.example",
        "http://localhost:80@evil.example",
        "http://127.0.0.1:80.evil.example",
        "http://[::1].evil.example",
        "http://localhost/evil.example",
        "file://localhost",
        "chrome-extension://localhost",
        "localhost",
        "http:localhost",
        "http://",
        "http://localhost, http://evil.example",
    ],
)
def test_other_origins(origin: str) -> None:
    """Any other page is refused with 403, also one that has no origin to tell."""
    assert status(STRICT, "localhost", origin) == 403


@given(st.text(st.characters(max_codepoint=255)), st.none() | st.text(st.characters(max_codepoint=255)))
def test_any_headers(host: str, origin: str | None) -> None:
    """Whatever the headers hold, they are let in or refused; nothing else is raised."""
    assert status(STRICT, host, origin) in (200, 403, 421)


@given(st.sampled_from(["localhost", "127.0.0.1", "[::1]"]), st.text(st.characters(max_codepoint=255), min_size=1))
def test_what_only_begins_well(name: str, rest: str) -> None:
    """A loopback name with anything but a port after it is another name."""
    is_port = rest[0] == ":" and rest[1:].isascii() and rest[1:].isdigit() and len(rest) <= 6
    assert status(STRICT, name + rest) == (200 if is_port else 421)


def test_hosts_of_the_operator() -> None:
    """A name allows all its ports, a name with a port only that one; case does not matter."""
    origins = Origins(hosts=["MCP.example.org", "other.example:8443"])
    seen = [
        status(origins, host)
        for host in ("mcp.example.org", "mcp.EXAMPLE.org:443", "other.example:8443", "other.example", "x.example")
    ]
    assert seen == [200, 200, 200, 421, 421]
    assert status(origins, "localhost") == 200


def test_origins_of_the_operator() -> None:
    """An origin is scheme, host and port, and all three count."""
    origins = Origins(origins=["https://App.example.org/", "http://app.example.org:8080"])
    seen = [
        status(origins, "localhost", origin)
        for origin in (
            "https://app.example.org",
            "HTTPS://APP.example.org",
            "http://app.example.org:8080",
            "http://app.example.org",
            "https://app.example.org:8080",
            "https://sub.app.example.org",
        )
    ]
    assert seen == [200, 200, 200, 403, 403, 403]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", 200),
        ("192.0.2.1:8000", 200),
        ("[2001:db8::1]:8000", 200),
        ("evil.example", 421),
        ("192.0.2.1.evil.example", 421),
        ("192.0.2.256", 421),
        ("[192.0.2.1", 421),
        ("[::g]", 421),
    ],
)
def test_any_address(host: str, expected: int) -> None:
    """A server that can't know its addresses takes all of them: rebinding needs a name."""
    assert status(Origins(any_address=True), host) == expected


def test_the_refusals_say_what_to_do() -> None:
    """They show what was seen, cut to a reasonable length, and name the option."""
    with pytest.raises(Refusal, match=r"'evil\.example' is not served here.*--allow-host"):
        STRICT.check(b"evil.example", None)
    with pytest.raises(Refusal, match=r"'null' may not call this server.*--allow-origin"):
        STRICT.check(b"localhost", b"null")
    with pytest.raises(Refusal) as caught:
        STRICT.check(b"x" * 100_000, None)
    assert len(caught.value.message) < 400


def test_what_was_good_once_is_remembered_with_its_origin() -> None:
    """A good host does not make the next origin good; and the memory has an end."""
    origins = Origins(any_address=True)
    assert status(origins, "localhost") == 200
    assert status(origins, "localhost", "http://evil.example") == 403
    assert status(origins, "localhost", "http://localhost") == 200
    assert status(origins, "localhost", "http://localhost") == 200
    assert status(origins, "localhost", "http://evil.example") == 403
    for number in range(3000):
        assert status(origins, f"10.0.{number // 256}.{number % 256}") == 200
    assert len(origins._good) <= 1024
