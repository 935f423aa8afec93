"""What is common to all revisions of Streamable HTTP: names, refusals, and what wants no response."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from mcpserve.client.posting import finish, refusal, reply_to, retry_after, tell
from mcpserve.errors import AnswerLost, AnswerTooLarge, DeadlinePassed, Refused, RemoteError
from mcpserve.protocol.jsonrpc import Response
from tests.client.scripted_session import CALL, Stage
from tests.client.scripted_web import JSON, STREAM, Scene, ScriptedAnswer, StillWaiting, begun, now, outcome
from tests.garbage import cycles_left_by


def test_an_endpoint_is_named_without_its_secrets() -> None:
    """Neither a password nor a query reaches a message."""
    endpoint = attrs.evolve(Scene().endpoint, url="https://me:pass@server.example:8443/mcp?key=secret#x")
    assert endpoint.name == "https://server.example:8443/mcp"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), (" 120 ", 120.0), ("", None), ("-1", None), ("1.5", None), ("soon", None), ("²", None)],
)
def test_when_to_come_back(value: str, seconds: float | None) -> None:
    """`Retry-After` is read where it is a number of seconds."""
    answer: Any = ScriptedAnswer(503, "", {"Retry-After": value})
    assert retry_after(answer) == seconds


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("text/plain", b" out of order \n", "it answered 500: out of order"),
        ("text/plain", b"x" * 1000, "it answered 500: " + "x" * 200),
        ("text/html", b"<h1>no</h1>", "it answered 500"),
        (JSON, b'{"error": "custom"}', "it answered 500"),
        (JSON, b'{"jsonrpc":"2.0","id":1,"result":{}}', "it answered 500"),
        ("", b"", "it answered 500"),
    ],
)
def test_what_a_refusal_says(kind: str, body: bytes, says: str) -> None:
    """Plain text is told, up to a length; pages are not."""
    answer: Any = ScriptedAnswer(500, kind, {})
    answer.body(body)
    refused = now(refusal(answer, "it"))
    assert isinstance(refused, Refused)
    assert str(refused) == says


def test_what_a_refusal_never_says() -> None:
    """What we have shown to the server, should it say that, and what steers a terminal."""
    answer: Any = ScriptedAnswer(500, "text/plain", {})
    answer.secrets = ("Bearer token-123",)
    answer.body(b"\x1b]0;x\x07you sent:\n Bearer token-123\xc2\x9b")
    assert str(now(refusal(answer, "it"))) == "it answered 500: ]0;xyou sent: [secret]"


@pytest.mark.parametrize("kind", [JSON, "text/plain", ""])
def test_a_json_rpc_error_counts_whatever_the_type(kind: str) -> None:
    """An error in the body is the server's word, even under a wrong media type."""
    answer: Any = ScriptedAnswer(400, kind, {})
    answer.body(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}')
    assert now(refusal(answer, "it")) == Response(None, None, {"code": -32000, "message": "no"})


@pytest.mark.parametrize("error", [AnswerLost("x"), AnswerTooLarge("x"), DeadlinePassed("x", "idle")])
def test_a_refusal_whose_body_does_not_come_is_one(error: Exception) -> None:
    """The status says enough."""
    answer: Any = ScriptedAnswer(500, "text/plain", {})
    answer.lose(error)
    assert str(now(refusal(answer, "it"))) == "it answered 500"


def test_what_was_taken_was_taken() -> None:
    """A good status is a success, whatever becomes of the body, and an open stream is closed."""
    scene = Scene()
    for kind in ("", STREAM):
        telling = begun(tell(scene.endpoint, {}, b"{}", None))
        answer = scene.web.sent[-1].heads(202, kind)
        if not kind:
            answer.lose()
        assert outcome(telling) is None
        assert answer.over


def test_what_was_not_taken_is_raised() -> None:
    """With the server's own words, if it has any."""
    scene = Scene()
    telling = begun(tell(scene.endpoint, {}, b'{"id": 1}', None))
    scene.web.sent[-1].errors(400, -32600)
    with pytest.raises(RemoteError):
        outcome(telling)


def test_a_reply_on_a_stream_does_not_wait_for_its_end() -> None:
    """Who keeps a stream open after the response holds the handshake up for a moment only."""
    scene = Scene()
    asking = begun(reply_to(scene.endpoint, {}, b'{"id": 1}', None))
    answer = scene.web.sent[-1].streams()
    answer.event({"jsonrpc": "2.0", "id": 1, "result": {}})
    with pytest.raises(StillWaiting):
        outcome(asking)
    scene.clock.advance(0.05)
    assert outcome(asking).response == Response(1, {})
    assert answer.aborted


@pytest.mark.parametrize("how", ["end", "lose", "event"])
def test_a_stream_is_finished(how: str) -> None:
    """Whatever comes after the response, the connection is let go, and no timer is left."""
    scene = Scene()
    answer: Any = ScriptedAnswer(200, STREAM, {})
    finishing = begun(finish(answer, scene.clock))
    getattr(answer, how)(*([{}] if how == "event" else []))
    assert outcome(finishing) is None
    assert answer.over
    assert scene.clock.getDelayedCalls() == []


def test_a_call_leaves_no_cycle() -> None:
    """What is done thousands of times a second leaves nothing that only the garbage collector finds."""
    stage = Stage()

    def call() -> None:
        run = stage.talk.request(CALL)
        stage.call.results({})
        now(run.receive())
        stage.web.sent.clear()
        run = stage.talk.request(CALL)
        answer = stage.call.streams()
        answer.event(stage.call.result())
        answer.end()
        now(run.receive())
        stage.web.sent.clear()

    assert cycles_left_by(call) == []
