"""Resources on the wire, in both eras: tables D and E of the specification's transports, and Resources."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve import Call, Directory, ToolError, resource
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, Server

GREETING = "Grüße"


@resource("notes://today", mime_type="text/markdown", ttl=60, cache_scope="public")
def today() -> str:
    """Today's note."""
    return GREETING


@resource("notes://{year}/picture")
def picture(year: int) -> bytes:
    """The picture of a year."""
    return bytes([year % 256])


@resource("slow://{+path}")
async def slow(call: Call, path: str) -> str:
    """Read slowly."""
    for step in range(3):
        await call.progress(step, 3, path)
        await call.sleep(1)
    return path


@resource("broken://x")
def broken() -> str:
    """Fail."""
    raise ToolError("The disk is away.")


def served() -> Server:
    """A server with some resources."""
    return Server(today, picture, slow, broken)


def asked(server: Server, version: str, method: str, params: Any) -> Peer:
    """Ask in this revision."""
    return server.session(version).ask(method, params) if version in LEGACY else server.modern(method, params)


def read(server: Server, uri: Any, **more: Any) -> Peer:
    """Read a resource, modern."""
    return server.modern("resources/read", {"uri": uri}, **more)


def error_of(peer: Peer) -> tuple[int, int, Any]:
    """Status, code and data."""
    error = peer.json["error"]
    return peer.status, error["code"], error.get("data")


VERSIONS = [*LEGACY, "2026-07-28"]


@pytest.mark.parametrize("version", VERSIONS)
def test_text_and_blob(version: str) -> None:
    """Both kinds of contents, in every revision."""
    server = served()
    (part,) = asked(server, version, "resources/read", {"uri": "notes://today"}).result["contents"]
    assert part == {"uri": "notes://today", "mimeType": "text/markdown", "text": GREETING}
    (part,) = asked(server, version, "resources/read", {"uri": "notes://2026/picture"}).result["contents"]
    assert base64.b64decode(part["blob"]) == bytes([2026 % 256])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_lists(version: str) -> None:
    """Resources and templates, in every revision."""
    server = served()
    uris = [one["uri"] for one in asked(server, version, "resources/list", {}).result["resources"]]
    assert uris == ["notes://today", "broken://x"]
    templates = asked(server, version, "resources/templates/list", {}).result["resourceTemplates"]
    assert [one["uriTemplate"] for one in templates] == ["notes://{year}/picture", "slow://{+path}"]


@pytest.mark.parametrize("uri", ["notes://yesterday", "notes://x/picture", "slow://../etc/passwd", "", "x" * 9000])
def test_D28_F16_there_is_none(uri: str) -> None:
    """-32602 with the URI, before 2026-07-28 -32002; never empty contents."""
    server = served()
    headers = {"Mcp-Name": uri}
    assert error_of(read(server, uri, headers=headers)) == (200, -32602, {"uri": uri})
    for version in LEGACY:
        assert error_of(asked(server, version, "resources/read", {"uri": uri})) == (200, -32002, {"uri": uri})


@pytest.mark.parametrize("uri", [None, 5, ["notes://today"]])
def test_D10_F15_no_uri(uri: Any) -> None:
    """It is the params' fault, and said before the header is looked at."""
    server = served()
    assert error_of(read(server, uri)) == (200, -32602, None)
    assert error_of(server.session().ask("resources/read", {"uri": uri})) == (200, -32602, None)


@pytest.mark.parametrize("name", [None, "notes://yesterday", "NOTES://today"])
def test_D11_the_header_names_the_uri(name: str | None) -> None:
    """Mcp-Name mirrors it."""
    assert error_of(read(served(), "notes://today", headers={"Mcp-Name": name}))[:2] == (400, -32020)


def test_D31_caching() -> None:
    """How long what was read may be kept, and by whom."""
    server = served()
    result = read(server, "notes://today").result
    assert (result["ttlMs"], result["cacheScope"]) == (60_000, "public")
    result = read(server, "notes://2026/picture").result
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    result = server.session().ask("resources/read", {"uri": "notes://today"}).result
    assert set(result) == {"contents"}


def test_D23_a_resource_that_fails() -> None:
    """-32603, with its author's words."""
    server = served()
    for peer in (read(server, "broken://x"), server.session().ask("resources/read", {"uri": "broken://x"})):
        assert peer.json["error"] == {"code": -32603, "message": "The disk is away."}


def test_a_resource_that_streams() -> None:
    """What it reports comes before its contents, on the same stream."""
    server = served()
    peer = read(server, "slow://a/b", meta={"progressToken": "t"})
    server.seconds(3)
    *progress, last = peer.messages
    assert [message["params"]["message"] for message in progress] == ["a/b"] * 3
    assert last["result"]["contents"][0]["text"] == "a/b"
    assert server.leftovers() == []


def test_D34_a_client_that_goes_away() -> None:
    """The work is cancelled, and nothing stays behind."""
    told: list[str] = []

    @resource("wait://x")
    def wait() -> Any:
        """Wait."""
        return Deferred(lambda _: told.append("cancelled"))

    server = Server(wait)
    peer = read(server, "wait://x")
    peer.lose()
    assert told == ["cancelled"]
    assert server.leftovers() == []


def test_what_is_declared() -> None:
    """Resources exactly where there are some, in both eras."""
    for server, there in ((served(), True), (Server(), False)):
        modern = server.modern("server/discover").result["capabilities"]
        legacy = server.initialize(LATEST_LEGACY).result["capabilities"]
        assert ("resources" in modern, "resources" in legacy) == (there, there)


def test_a_directory(tmp_path: Path) -> None:
    """Its files are listed and read; nothing outside is."""
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "ä b.txt").write_text("hello")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = Server(Directory("docs://d", inside))
    (listed,) = server.modern("resources/list").result["resources"]
    assert listed["uri"] == "docs://d/%C3%A4%20b.txt"
    assert read(server, listed["uri"]).result["contents"][0]["text"] == "hello"
    for path in ("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "link.txt", "/etc/passwd", "%2Fetc%2Fpasswd"):
        assert error_of(read(server, f"docs://d/{path}"))[:2] == (200, -32602)
