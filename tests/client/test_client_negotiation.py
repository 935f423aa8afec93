"""From a URL to a conversation: what is asked in which order, and what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.client.conversation import Outgoing
from mcpserve.client.eras import Era, Eras
from mcpserve.client.legacy import Legacy
from mcpserve.client.limits import Timeouts
from mcpserve.client.modern import Modern
from mcpserve.client.negotiation import connect
from mcpserve.errors import (
    AnswerLost,
    BadAnswer,
    ConfigurationError,
    DeadlinePassed,
    Refused,
    RemoteError,
    Unauthorized,
    Unreachable,
)
from tests.client.scripted_web import URL, Scene, Sent, begun, outcome

DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "instructions": "be kind",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}},
}


class Stage(Scene):
    """A client that connects."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.eras = Eras()
        self.web.rules |= {
            "notifications/initialized": lambda sent: sent.answers(202),
            "GET": lambda sent: sent.answers(405),
            "DELETE": lambda sent: sent.answers(204),
        }

    def connect(self, revision: str | None = None) -> Any:
        """Begin to connect."""
        web: Any = self.web
        return begun(connect(self.host, web, URL, self.terms(revision), self.eras))

    @property
    def last(self) -> Sent:
        """What was sent last."""
        return self.web.sent[-1]

    def modern(self) -> None:
        """The server speaks 2026-07-28."""
        self.web.rules["server/discover"] = lambda sent: sent.results(DISCOVERED)

    def legacy(self, version: str = "2025-11-25") -> None:
        """The server shakes hands."""
        self.web.rules["initialize"] = lambda sent: sent.results(
            {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        )


def test_a_modern_server_is_discovered() -> None:
    """One request finds out what it is, and the conversation goes on in that version, with ids that go on too."""
    stage = Stage()
    stage.modern()
    talk = outcome(stage.connect())
    assert isinstance(talk, Modern)
    assert (talk.server.revision.name, talk.server.transport) == ("2026-07-28", "streamable-http")
    assert talk.server.implementation is not None
    assert (talk.server.implementation.name, talk.server.instructions) == ("s", "be kind")
    assert talk.server.raw == DISCOVERED
    assert stage.web.kinds == ["server/discover"]
    assert stage.web.sent[0].headers["MCP-Protocol-Version"] == "2026-07-28"
    talk.request(Outgoing(method="tools/list"))
    assert stage.last.json["id"] == 2
    assert stage.eras.recall(URL) is Era.MODERN


def test_the_first_answer_may_come_as_a_stream() -> None:
    """A discover that is answered by events is understood, and what is said before goes to the host."""
    stage = Stage()
    connecting = stage.connect()
    answer = stage.last.streams()
    answer.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
    answer.event({"jsonrpc": "2.0", "id": 1, "result": DISCOVERED})
    answer.end()
    assert isinstance(outcome(connecting), Modern)
    assert len(stage.host.notices) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"", ""),
        (404, b"not here", "text/plain"),
        (405, b"", ""),
        (400, b"Bad Request: Missing session ID", "text/plain"),
        (400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No session"}}', "application/json"),
        (400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Bad"}}', "application/json"),
        (400, b'{"error":"not even JSON-RPC"}', "application/json"),
        (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Unknown"}}', "application/json"),
        (200, b'{"jsonrpc":"2.0","id":1,"result":{}}', "application/json"),
        (200, b"", ""),
        (200, b"<html>", "text/html"),
        (202, b"", ""),
        (204, b"", ""),
        (500, b"", ""),
    ],
)
def test_an_old_server_is_found_out(status: int, body: bytes, kind: str) -> None:
    """Whatever an old server makes of the first question, the handshake follows, and is remembered."""
    stage = Stage()
    stage.legacy()
    connecting = stage.connect()
    stage.last.answers(status, body, kind)
    talk = outcome(connecting)
    assert isinstance(talk, Legacy)
    assert stage.web.kinds[:3] == ["server/discover", "initialize", "notifications/initialized"]
    assert stage.eras.recall(URL) is Era.LEGACY


@pytest.mark.parametrize("how", ["silent", "stream", "reset", "garbled"])
def test_an_old_server_that_does_not_answer(how: str) -> None:
    """Silence within the bound of a probe, a stream without a result, or a broken connection lead to the handshake."""
    stage = Stage(timeouts=Timeouts(head=300.0))
    stage.legacy()
    connecting = stage.connect()
    deadlines = stage.last.timeouts
    assert deadlines is not None
    assert (deadlines.head, deadlines.idle) == (15.0, 15.0)
    if how == "stream":
        stage.last.streams().end()
    elif how == "garbled":
        stage.last.streams().event(b"what?")
    else:
        stage.last.fails(AnswerLost("x") if how == "reset" else DeadlinePassed("x", "head"))
    assert isinstance(outcome(connecting), Legacy)


@pytest.mark.parametrize("error", [Unreachable("x"), Unauthorized("x", 401), Refused("x", 301)])
def test_what_says_nothing_of_eras_is_raised(error: Exception) -> None:
    """Without a connection, credentials or the right address there is nothing to fall back from."""
    stage = Stage()
    connecting = stage.connect()
    stage.last.fails(error)
    with pytest.raises(type(error)):
        outcome(connecting)
    assert stage.web.kinds == ["server/discover"]


def test_a_server_that_rejects_the_first_request_is_asked_again() -> None:
    """-32022 with a version that we speak: the same question in that version, not a handshake."""
    stage = Stage()
    connecting = stage.connect()
    stage.last.errors(400, -32022, {"supported": ["2026-07-28"]})
    assert stage.web.kinds == ["server/discover", "server/discover"]
    stage.last.results(DISCOVERED)
    assert isinstance(outcome(connecting), Modern)


def test_a_server_that_sends_us_round_in_circles() -> None:
    """A server that goes on to reject what it asks for gets three tries in all."""
    stage = Stage()
    stage.web.rules["server/discover"] = lambda sent: sent.errors(400, -32022, {"supported": ["2026-07-28"]})
    with pytest.raises(RemoteError):
        outcome(stage.connect())
    assert stage.web.kinds == ["server/discover"] * 3


def test_a_modern_server_that_was_too_slow_is_found_in_the_end() -> None:
    """When a handshake is refused as only a modern server does, the first question is asked again."""
    stage = Stage()
    connecting = stage.connect()
    stage.last.fails(DeadlinePassed("x", "head"))
    stage.last.errors(400, -32022, {"supported": ["2026-07-28"]})
    stage.last.results(DISCOVERED)
    assert isinstance(outcome(connecting), Modern)
    assert stage.web.kinds == ["server/discover", "initialize", "server/discover"]


def test_the_last_resort_is_http_with_sse() -> None:
    """404 to both questions: a GET, whose first event names the endpoint of 2024-11-05."""
    stage = Stage()
    del stage.web.rules["GET"]
    for asks in ("server/discover", "initialize"):
        stage.web.rules[asks] = lambda sent: sent.answers(404)
    connecting = stage.connect()
    assert stage.web.kinds == ["server/discover", "initialize", "GET"]
    answer = stage.last.streams()
    del stage.web.rules["initialize"]
    answer.event(b"/messages?session=1", type="endpoint")
    (handshake,) = [sent for sent in stage.web.sent if sent.url.endswith("/messages?session=1")]
    handshake.answers(202)
    result = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    answer.event({"jsonrpc": "2.0", "id": handshake.json["id"], "result": result})
    if stage.last.asks == "notifications/initialized" and stage.last.answer is None:
        stage.last.answers(202)
    talk = outcome(connecting)
    assert (talk.server.transport, talk.server.revision.name) == ("http+sse", "2024-11-05")
    assert stage.eras.recall(URL) is Era.HTTP_SSE
    outcome(begun(talk.close()))


def test_a_wrong_address_is_called_that() -> None:
    """When all three ways fail, the error is what the server said to the handshake."""
    stage = Stage()
    for asks in ("server/discover", "initialize"):
        stage.web.rules[asks] = lambda sent: sent.answers(404)
    stage.web.rules["GET"] = lambda sent: sent.answers(405)
    with pytest.raises(Refused) as caught:
        outcome(stage.connect())
    assert caught.value.status == 404
    assert stage.eras.recall(URL) is None


def test_a_handshake_that_is_not_taken() -> None:
    """`notifications/initialized` has to be taken by the server, else there is no session."""
    stage = Stage()
    stage.legacy()
    stage.web.rules["server/discover"] = lambda sent: sent.answers(400)
    stage.web.rules["notifications/initialized"] = lambda sent: sent.answers(500)
    with pytest.raises(Refused):
        outcome(stage.connect())
    assert stage.eras.recall(URL) is None


# --- one revision and no other


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_an_older_revision_can_be_forced(revision: str) -> None:
    """There is no probe, and the handshake asks for that version."""
    stage = Stage()
    stage.legacy(revision)
    talk = outcome(stage.connect(revision))
    assert talk.server.revision.name == revision
    assert stage.web.sent[0].asks == "initialize"
    assert stage.web.sent[0].json["params"]["protocolVersion"] == revision


def test_a_revision_that_the_server_does_not_speak() -> None:
    """A server that offers another version than the forced one is refused; so is an old one, when 2026-07-28 is."""
    stage = Stage()
    stage.legacy("2025-11-25")
    with pytest.raises(BadAnswer, match="speaks 2025-11-25, not 2025-06-18"):
        outcome(stage.connect("2025-06-18"))
    stage.web.rules["server/discover"] = lambda sent: sent.answers(404)
    with pytest.raises(BadAnswer, match="does not speak 2026-07-28"):
        outcome(stage.connect("2026-07-28"))
    assert stage.web.kinds[-1] == "server/discover"
    with pytest.raises(ConfigurationError):
        outcome(stage.connect("2027-01-01"))


# --- what is remembered


def test_an_era_is_remembered_and_found_out_again() -> None:
    """An old server is not probed a second time; when it has become a modern one, that is found out."""
    stage = Stage()
    stage.legacy()
    stage.web.rules["server/discover"] = lambda sent: sent.answers(404)
    outcome(stage.connect())
    before = len(stage.web.sent)
    outcome(stage.connect())
    assert stage.web.sent[before].asks == "initialize"
    stage.web.rules["initialize"] = lambda sent: sent.answers(500)
    stage.modern()
    assert isinstance(outcome(stage.connect()), Modern)
    assert stage.eras.recall(URL) is Era.MODERN


def test_a_modern_server_that_has_become_an_old_one() -> None:
    """What was modern and answers as no modern server does is forgotten, and probed by the next who connects."""
    stage = Stage()
    stage.modern()
    talk = outcome(stage.connect())
    running = talk.request(Outgoing(method="tools/list"))
    stage.last.answers(400, b"Missing session", "text/plain")
    with pytest.raises(Refused):
        outcome(begun(running.receive()))
    assert stage.eras.recall(URL) is None


def test_eras_belong_to_scheme_host_port_and_path() -> None:
    """The default port and a query make no difference; anything else does."""
    eras = Eras()
    eras.remember("https://a.example/mcp?key=1", Era.LEGACY)
    assert eras.recall("https://a.example:443/mcp") is Era.LEGACY
    for url in ("http://a.example/mcp", "https://b.example/mcp", "https://a.example:1/mcp", "https://a.example/"):
        assert eras.recall(url) is None
    eras.forget("https://a.example/mcp")
    assert eras.recall("https://a.example/mcp") is None


@pytest.mark.parametrize("at", ["server/discover", "initialize", "notifications/initialized"])
def test_connecting_can_be_cancelled(at: str) -> None:
    """Cancelling closes what is open at that point, says nothing to the server, and leaves nothing."""
    stage = Stage()
    stage.legacy()
    stage.web.rules["server/discover"] = lambda sent: sent.answers(404)
    del stage.web.rules[at]
    connecting = stage.connect()
    connecting.cancel()
    assert stage.last.asks == at
    assert stage.last.cancelled
    assert stage.clock.getDelayedCalls() == []
    connecting.addErrback(lambda failure: None)


@pytest.mark.parametrize("error", [Unreachable("x"), Unauthorized("x", 401), DeadlinePassed("x", "connect")])
def test_what_says_nothing_of_eras_leaves_what_is_remembered(error: Exception) -> None:
    """An old server that can't be reached is still an old server, and is not asked twice."""
    stage = Stage()
    stage.eras.remember(URL, Era.LEGACY)
    connecting = stage.connect()
    stage.last.fails(error)
    with pytest.raises(type(error)):
        outcome(connecting)
    assert stage.web.kinds == ["initialize"]
    assert stage.eras.recall(URL) is Era.LEGACY


@pytest.mark.parametrize("meta", [None, [], {"io.modelcontextprotocol/serverInfo": "odd"}])
def test_a_name_may_stand_elsewhere_or_be_missing(meta: Any) -> None:
    """The name of a server is read where drafts had it, and a malformed one is none."""
    stage = Stage()
    result = {**DISCOVERED, "_meta": meta}
    stage.web.rules["server/discover"] = lambda sent: sent.results(result)
    assert outcome(stage.connect()).server.implementation is None
    result["serverInfo"] = {"name": "there", "version": "2"}
    if not isinstance(meta, dict):
        assert outcome(stage.connect()).server.implementation.name == "there"


def test_what_was_remembered_and_holds_no_more_is_forgotten() -> None:
    """When the remembered way fails, and the search for another one does too, nothing is known any more."""
    stage = Stage()
    stage.eras.remember(URL, Era.LEGACY)
    stage.web.rules["initialize"] = lambda sent: sent.answers(500)
    stage.web.rules["server/discover"] = lambda sent: sent.answers(503)
    with pytest.raises(Refused):
        outcome(stage.connect())
    assert stage.web.kinds == ["initialize", "server/discover"]
    assert stage.eras.recall(URL) is None
