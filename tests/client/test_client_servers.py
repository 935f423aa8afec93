"""Named servers, as MCP clients write them down."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpserve.client import HttpServer, StdioServer, read_servers
from mcpserve.errors import ConfigurationError

ENVIRONMENT = {"TOKEN": "t0k", "HOME": "/home/me", "EMPTY": ""}


def read(**servers: Any) -> Any:
    """The servers of a configuration."""
    return read_servers(orjson.dumps({"mcpServers": servers, "other": 1}), ENVIRONMENT, "here.json")


def test_both_kinds() -> None:
    """A server has a URL or a command; what has no name here is left to others; the order is kept."""
    servers = read(
        z={"type": "http", "url": "https://x/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}, "disabled": False},
        a={"command": "npx", "args": ["-y", "thing"], "env": {"A": "${HOME}/a"}, "cwd": "${HOME}"},
        m={"url": "http://x/sse", "type": "sse"},
        b={"command": "b", "type": "stdio", "url": None},
    )
    assert list(servers) == ["z", "a", "m", "b"]
    assert len(servers) == 4
    assert "a" in servers
    assert servers["z"] == HttpServer(name="z", url="https://x/mcp", headers={"Authorization": "Bearer t0k"})
    assert servers["a"] == StdioServer(
        name="a", command=("npx", "-y", "thing"), env={"A": "/home/me/a"}, cwd="/home/me"
    )
    assert servers["m"] == HttpServer(name="m", url="http://x/sse", transport="sse")
    assert servers["b"] == StdioServer(name="b", command=("b",))
    with pytest.raises(KeyError):
        servers["nobody"]


@pytest.mark.parametrize("kind", ["http", "streamable-http", "streamableHttp", None])
def test_names_of_http(kind: Any) -> None:
    """It has several."""
    assert read(a={"type": kind, "url": "http://x"})["a"] == HttpServer(name="a", url="http://x")


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("${TOKEN}", "t0k"),
        ("${env:TOKEN}", "t0k"),
        ("a${TOKEN}b${HOME}", "at0kb/home/me"),
        ("${MISSING:-other}", "other"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY}", ""),
        ("$TOKEN ${} $$ {TOKEN}", "$TOKEN ${} $$ {TOKEN}"),
    ],
)
def test_variables(written: str, read_as: str) -> None:
    """They are filled in, once, wherever a text stands."""
    assert read(a={"command": "x", "args": [written]})["a"].command == ("x", read_as)
    assert read(a={"url": "http://x", "headers": {"K": written}})["a"].headers == {"K": read_as}


def test_a_server_that_nobody_wants() -> None:
    """Its variables need not be set."""
    servers = read(a={"url": "http://x"}, b={"url": "http://${MISSING}"})
    assert servers["a"].url == "http://x"
    with pytest.raises(
        ConfigurationError, match=r'here\.json: mcpServers\.b: "url" needs the environment variable MISSING'
    ):
        servers["b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "it is not JSON"),
        (b"[]", 'no object "mcpServers"'),
        (b'{"servers": {}}', 'no object "mcpServers"'),
        (b'{"mcpServers": []}', 'no object "mcpServers"'),
    ],
)
def test_what_is_no_configuration(text: bytes, words: str) -> None:
    """It is named, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=f"here.json: .*{words}"):
        read_servers(text, ENVIRONMENT, "here.json")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("x", "must be an object"),
        ({}, 'a "url" or a "command"'),
        ({"url": "http://x", "command": "y"}, "and not both"),
        ({"url": "http://x", "type": "carrier-pigeon"}, '"type" must be one of'),
        ({"url": "http://x", "type": "stdio"}, '"type" must be'),
        ({"command": "x", "type": "http"}, '"type" must be'),
        ({"command": ["x"]}, '"command" must be a text'),
        ({"command": "x", "args": "y"}, '"args" must be a list of texts'),
        ({"command": "x", "args": ["s3cret", 1]}, r'"args\[1\]" must be a text'),
        ({"command": "x", "env": ["s3cret"]}, '"env" must be an object of texts'),
        ({"url": "http://x", "headers": {"K": ["s3cret"]}}, '"headers.K" must be a text'),
    ],
)
def test_what_is_no_server(entry: Any, words: str) -> None:
    """The error says where and what, and shows no value, which may be secret."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(a=entry)["a"]
    assert str(caught.value).startswith("here.json: mcpServers.a: ")
    assert "s3cret" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Headers and environments may hold them."""
    servers = read(a={"url": "http://x", "headers": {"K": "s3cret"}}, b={"command": "x", "env": {"K": "s3cret"}})
    assert "s3cret" not in repr(servers["a"]) + repr(servers["b"])
