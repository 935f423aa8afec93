"""resources/list, resources/templates/list and resources/read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve import Annotations, Call, Contents, Directory, NotFound, ToolError, resource
from mcpserve.errors import PluginError
from mcpserve.features.catalog import Library
from mcpserve.features.discovery import collect
from mcpserve.protocol.revisions import V2025_11_25
from tests.server.desk import Asked, Desk


@resource("notes://today", annotations=Annotations(priority=1), size=5, ttl=0.5, cache_scope="public")
def today() -> str:
    """Today's note."""
    return "Rest."


@resource("notes://{day}")
def note(day: date) -> bytes:
    """The note of a day."""
    if day.year < 2000:
        raise NotFound("There were no notes then.")
    return day.isoformat().encode()


@resource("notes://{word}", name="by_word")
def by_word(word: str) -> list[Contents]:
    """The notes with a word."""
    return [Contents(word, uri=f"notes://{word}/1"), Contents(b"x", uri=f"notes://{word}/2", mime_type="image/png")]


@resource("slow://{x}")
async def slow(call: Call, x: str) -> str:
    """Take some time."""
    await call.progress(1)
    await call.sleep(2)
    return x


def read(desk: Desk, uri: str, *more: Any) -> Asked:
    """Ask for a resource."""
    return desk.ask("resources/read", {"uri": uri}, *more)


def resource_of(body: Callable[[], Any], **options: Any) -> Any:
    """A resource `a://b` that does something."""

    @resource("a://b", description="Do.", **options)
    def f() -> Any:
        return body()

    return f


def raiser(error: BaseException) -> Callable[[], Any]:
    """Raises."""

    def body() -> None:
        raise error

    return body


# --- lists


def test_the_lists() -> None:
    """Single resources in one, templates in the other; caching hints in the modern revision only."""
    desk = Desk(today, note)
    result = desk.ask("resources/list").result
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (60_000, "public", "complete")
    assert result["resources"] == [
        {
            "uri": "notes://today",
            "name": "today",
            "title": "Today",
            "description": "Today's note.",
            "annotations": {"priority": 1},
            "size": 5,
        }
    ]
    templates = desk.ask("resources/templates/list").result
    assert (templates["ttlMs"], templates["cacheScope"]) == (60_000, "public")
    assert templates["resourceTemplates"] == [
        {"uriTemplate": "notes://{day}", "name": "note", "title": "Note", "description": "The note of a day."}
    ]
    assert desk.ask("resources/list", revision=V2025_11_25).result == {"resources": result["resources"]}


def test_pages() -> None:
    """Each page names the next, in both lists."""
    desk = Desk(today, resource_of(str), note, slow, page_size=1)
    for method, member, names in (
        ("resources/list", "resources", ["today", "f"]),
        ("resources/templates/list", "resourceTemplates", ["note", "slow"]),
    ):
        first = desk.ask(method).result
        second = desk.ask(method, {"cursor": first["nextCursor"]}).result
        assert [page[member][0]["name"] for page in (first, second)] == names
        assert "nextCursor" not in second
        assert desk.ask(method, {"cursor": "x"}).error[0] == -32602


def test_two_of_the_same_uri() -> None:
    """They are refused, with both origins."""
    with pytest.raises(PluginError, match="resource 'notes://today' exists already"):
        collect([today, resource("notes://today")(lambda: "")], "here.py")


# --- reading


def test_a_text() -> None:
    """The URI that was asked for, the MIME type, the text; and how long it may be kept, by whom."""
    result = read(Desk(today), "notes://today").result
    assert result["contents"] == [{"uri": "notes://today", "mimeType": "text/plain", "text": "Rest."}]
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (500, "public", "complete")


def test_a_blob_of_a_template() -> None:
    """In base64; by default nobody keeps it."""
    result = read(Desk(today, note), "notes://2026-07-28").result
    (part,) = result["contents"]
    assert base64.b64decode(part["blob"]) == b"2026-07-28"
    assert (part["uri"], part["mimeType"]) == ("notes://2026-07-28", "application/octet-stream")
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")


def test_who_has_a_name_reads_for_himself() -> None:
    """What is public to its author may be for nobody unknown to who runs the server."""
    result = Desk(today).ask("resources/read", {"uri": "notes://today"}, caller="ada").result
    assert (result["ttlMs"], result["cacheScope"]) == (500, "private")


def test_readings_with_and_without_a_name_are_counted_together() -> None:
    """They are one function."""
    desk = Desk(resource_of(Deferred, max_concurrent=1))
    read(desk, "a://b")
    code, message = desk.ask("resources/read", {"uri": "a://b"}, caller="ada").error
    assert (code, "busy" in message) == (-32603, True)


def test_a_legacy_reading() -> None:
    """It has nothing that the revision does not know."""
    result = read(Desk(today), "notes://today", V2025_11_25).result
    assert result == {"contents": [{"uri": "notes://today", "mimeType": "text/plain", "text": "Rest."}]}


def test_which_one_is_asked() -> None:
    """The single resource before templates, and of these the first that the URI fits."""
    desk = Desk(note, by_word, today)
    assert read(desk, "notes://today").result["contents"][0]["text"] == "Rest."
    assert "blob" in read(desk, "notes://2026-07-28").result["contents"][0]
    parts = read(desk, "notes://rye").result["contents"]
    assert [part["uri"] for part in parts] == ["notes://rye/1", "notes://rye/2"]


def test_a_resource_that_takes_time() -> None:
    """It runs as a tool does: it waits, reports, and is cancelled with its client."""
    desk = Desk(slow)
    asked = read(desk, "slow://y")
    assert asked.progress == [1]
    desk.clock.advance(2)
    assert asked.result["contents"][0]["text"] == "y"
    asked = read(desk, "slow://y")
    asked.exchange.withdraw()
    desk.clock.advance(0)
    assert asked.carrier.replies == []
    assert desk.nothing_left()


# --- errors


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("notes://yesterday", "Resource not found"),
        ("other://x", "Resource not found"),
        ("", "Resource not found"),
        ("notes://1999-12-31", "There were no notes then."),
        ("notes://" + "x" * 10_000, "Resource not found"),
    ],
)
def test_there_is_none(uri: str, message: str) -> None:
    """-32602 with the URI, -32002 in revisions before; whoever finds out."""
    desk = Desk(today, note)
    for revision, code in (((), -32602), ((V2025_11_25,), -32002)):
        reply = read(desk, uri, *revision).carrier.replies[0]
        assert reply["error"] == {"code": code, "message": message, "data": {"uri": uri}}


@pytest.mark.parametrize("params", [{}, {"uri": 5}, {"uri": None}])
def test_no_uri(params: dict[str, Any]) -> None:
    """It is the params' fault."""
    assert Desk(today).ask("resources/read", params).error == (-32602, "params.uri must be a string")


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ToolError("The disk is away."), "The disk is away."),
        (ValueError("secret"), "The resource failed; the server's log has the reason under id "),
    ],
)
def test_a_resource_that_raises(error: Exception, words: str, timeout: float | None) -> None:
    """-32603; a ToolError's text is for the client, of anything else only a log id."""
    desk = Desk(resource_of(raiser(error), timeout=timeout))
    code, message = read(desk, "a://b").error
    assert code == -32603
    assert message.startswith(words)
    assert "secret" not in message
    assert desk.nothing_left()


@pytest.mark.parametrize("value", [None, object(), "\ud800"])
def test_a_resource_that_returns_nonsense(value: Any) -> None:
    """It has failed as if it had raised: there are never empty contents."""
    assert read(Desk(resource_of(lambda: value)), "a://b").error[0] == -32603


def test_time_is_up() -> None:
    """An error that says so."""
    desk = Desk(resource_of(Deferred, timeout=2))
    asked = read(desk, "a://b")
    desk.clock.advance(2)
    assert asked.error == (-32603, "The resource did not finish within 2 s")
    assert desk.nothing_left()


# --- what is declared


def test_no_resources() -> None:
    """Then there is nothing to ask for, and nothing is declared."""
    desk = Desk()
    for method in ("resources/list", "resources/templates/list", "resources/read"):
        assert desk.ask(method, {"uri": "x"}).error[0] == -32601
    assert "resources" not in desk.ask("server/discover").result["capabilities"]


@pytest.mark.parametrize("function", [today, note])
def test_either_kind_will_do(function: Any) -> None:
    """A resource or a template: both lists are there, one of them empty."""
    desk = Desk(function)
    assert "resources" in desk.ask("server/discover").result["capabilities"]
    counts = [
        len(desk.ask("resources/list").result["resources"]),
        len(desk.ask("resources/templates/list").result["resourceTemplates"]),
    ]
    assert sorted(counts) == [0, 1]


def test_interfaces_are_declared() -> None:
    """Resources with the scheme ui: are those of MCP Apps; `_meta` goes through, in the list and with the contents."""
    html, meta = "text/html;profile=mcp-app", {"ui": {"prefersBorder": True, "csp": {"connectDomains": []}}}
    app = resource("ui://x/y", mime_type=html, meta=meta)(lambda: "<!doctype html>")
    desk = Desk(app)
    assert "io.modelcontextprotocol/ui" in desk.ask("server/discover").result["capabilities"]["extensions"]
    assert "io.modelcontextprotocol/ui" not in Desk(today).ask("server/discover").result["capabilities"]["extensions"]
    (listed,) = desk.ask("resources/list").result["resources"]
    (part,) = read(desk, "ui://x/y").result["contents"]
    assert (listed["mimeType"], listed["_meta"]) == (part["mimeType"], part["_meta"]) == (html, meta)


def test_another_library() -> None:
    """What is listed and read is what is served now."""
    desk = Desk(today)
    desk.ask("resources/list")
    desk.features.resources.library = collect([note], "new.py").library
    assert desk.ask("resources/list").result["resources"] == []
    assert read(desk, "notes://today").error[0] == -32602
    desk.features.resources.library = Library()
    assert read(desk, "notes://today").error[0] == -32601


# --- directories


def test_a_directory(tmp_path: Path) -> None:
    """Its files are listed beside other resources, and read in a thread."""
    (tmp_path / "a b.txt").write_text("hello")
    desk = Desk(today, Directory("docs://d", tmp_path, limit=10))
    uris = [one["uri"] for one in desk.ask("resources/list").result["resources"]]
    assert uris == ["notes://today", "docs://d/a%20b.txt"]
    (part,) = read(desk, "docs://d/a%20b.txt").result["contents"]
    assert part == {"uri": "docs://d/a%20b.txt", "mimeType": "text/plain", "text": "hello"}
    for uri in ("docs://d/nowhere", "docs://d/..%2Fx", "docs://d/../x", "docs://d/", "docs://d"):
        assert read(desk, uri).error == (-32602, "Resource not found")
    (tmp_path / "large").write_text("x" * 11)
    assert read(desk, "docs://d/large").error == (-32603, "The file has 11 bytes; no more than 10 are read")


def test_an_own_resource_comes_before_a_file(tmp_path: Path) -> None:
    """A URI is listed once."""
    (tmp_path / "a").write_text("file")
    own = resource("docs://d/a")(lambda: "own")
    desk = Desk(Directory("docs://d", tmp_path), own)
    assert len(desk.ask("resources/list").result["resources"]) == 1
    assert read(desk, "docs://d/a").result["contents"][0]["text"] == "own"
