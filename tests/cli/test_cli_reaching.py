"""The way to a server, and who calls there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve.client.credentials import RequestFacts
from mcpserve.client.servers import HttpServer, StdioServer
from tests.cli.stand_in import URL, StandIn, carry_out

SERVERS = {
    "web": {"url": "https://example.org/mcp", "headers": {"X-Team": "blue"}},
    "own": {"url": "https://example.org/mcp", "headers": {"authorization": "Bearer of-its-own"}},
    "child": {"command": "serve", "args": ["--quick"]},
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A file of servers."""
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": SERVERS}))
    return str(path)


def reached(*words: str, **around: Any) -> StandIn:
    """The client of a command that came about."""
    session = carry_out("ping", *words, **around)
    assert session.status == 0, session.err.text
    return session.client


def headers_of(client: StandIn) -> dict[str, str]:
    """What the credentials of a client say."""
    assert client.way is not None
    if client.way.credentials is None:
        return {}
    said: list[Any] = []
    facts = RequestFacts(method="POST", url=URL, attempt=1)
    Deferred.fromCoroutine(client.way.credentials.headers(facts)).addCallback(said.append)
    return dict(said[0])


def test_a_url() -> None:
    """Is a server over HTTP; headers are added."""
    client = reached(URL, "--header", "X-A: b:c", "--header", "X-D:")
    assert client.way is not None
    assert client.way.server == HttpServer(name=URL, url=URL, headers={"X-A": "b:c", "X-D": ""})


def test_a_name_in_a_file(config: str) -> None:
    """The file of the option or of the environment; headers of the command line win."""
    client = reached("web", "--config", config, "--header", "X-Team: red")
    assert client.way is not None
    assert client.way.server == HttpServer(name="web", url="https://example.org/mcp", headers={"X-Team": "red"})
    client = reached("child", environment={"MCPSERVE_SERVERS": config})
    assert client.way is not None
    assert isinstance(client.way.server, StdioServer)
    assert client.way.server.command == ("serve", "--quick")


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ("nope", "the file of servers knows web, own, child"),
        ("ftp://example.org", "starts with http:// or https://"),
        ("http://", "no URL that a server can have"),
        ("http://h:x/", "no URL that a server can have"),
        ("http://[::1", "no URL that a server can have"),
    ],
)
def test_no_such_server(config: str, server: str, complaint: str) -> None:
    """What there is instead is told."""
    session = carry_out("ping", server, "--config", config)
    assert session.status == 2
    assert complaint in session.err.text


def test_no_file(tmp_path: Path) -> None:
    """Neither named, nor there, nor JSON."""
    session = carry_out("ping", "localhost:8000/mcp")
    assert "http://localhost:8000/mcp" in session.err.text
    assert carry_out("ping", "web", "--config", str(tmp_path / "none")).status == 2
    (tmp_path / "bad").write_text("{")
    assert carry_out("ping", "web", "--config", str(tmp_path / "bad")).status == 2


@pytest.mark.parametrize(
    ("words", "environment", "headers"),
    [
        ([], {}, {}),
        ([], {"MCPSERVE_TOKEN": "t"}, {"Authorization": "Bearer t"}),
        ([], {"MCPSERVE_API_KEY": "k"}, {"X-API-Key": "k"}),
        (["--token", "env:T"], {"T": "mine", "MCPSERVE_TOKEN": "t"}, {"Authorization": "Bearer mine"}),
        (["--token", "plain:word"], {}, {"Authorization": "Bearer word"}),
        (["--api-key", "env:T"], {"T": "mine"}, {"X-API-Key": "mine"}),
        (["--header", "Authorization: Basic x"], {"MCPSERVE_TOKEN": "t"}, {}),
    ],
)
def test_who_calls(words: list[str], environment: dict[str, str], headers: dict[str, str]) -> None:
    """Options before the environment; a header of one's own before what was meant for other servers."""
    assert headers_of(reached(URL, *words, environment=environment)) == headers


def test_a_token_in_a_file(tmp_path: Path) -> None:
    """Or on standard input; white space around it does not count."""
    (tmp_path / "token").write_text("filed\n")
    assert headers_of(reached(URL, "--token", f"@{tmp_path}/token")) == {"Authorization": "Bearer filed"}
    assert headers_of(reached(URL, "--token", "@-", text="piped\n")) == {"Authorization": "Bearer piped"}


def test_a_token_that_is_not_there(tmp_path: Path) -> None:
    """Is told before anything is sent."""
    (tmp_path / "empty").write_text("\n")
    for place in (f"@{tmp_path}/none", f"@{tmp_path}/empty", "@-", "env:T", "word"):
        session = carry_out("ping", URL, "--token", place)
        assert session.status == 2, place
        assert session.client.way is None
    assert carry_out("ping", URL, "--token", "plain:a", "--api-key", "plain:b").status == 2


def test_a_server_with_a_header_of_its_own(config: str) -> None:
    """Does not get the token of the environment."""
    client = reached("own", environment={"MCPSERVE_SERVERS": config, "MCPSERVE_TOKEN": "t"})
    assert headers_of(client) == {}


def test_nothing_secret_is_in_a_repr(config: str) -> None:
    """Of what is handed around."""
    client = reached(URL, "--token", "plain:hidden-word", "--header", "X: hidden-word")
    assert "hidden-word" not in repr(client.way)
