"""The tables of negotiation, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.client import verdicts
from mcpserve.client.posting import Reply
from mcpserve.client.verdicts import discovered, initialized, undiscovered
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientError,
    DeadlinePassed,
    Refused,
    RemoteError,
    Unauthorized,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Response
from mcpserve.protocol.revisions import V2025_06_18, V2026_07_28

MODERN, OLD, UNKNOWN = "2026-07-28", "2025-11-25", "1999-01-01"


def reply(status: int, result: Any = None, error: Any = None) -> Reply:
    """An answer; with neither result nor error it is text, HTML, or nothing at all, which all mean the same."""
    response = None if result is None and error is None else Response(1, result, error)
    return Reply(status=status, response=response, session_id="s", error=Refused(f"it said {status}", status))


def error(code: Any, supported: Any = None) -> dict[str, Any]:
    """A JSON-RPC error."""
    return {"code": code, "message": "no", **({} if supported is None else {"data": {"supported": supported}})}


DISCOVERED = [
    # a good status
    (reply(200, {"supportedVersions": [MODERN]}), verdicts.Modern),
    (reply(200, {"supportedVersions": [OLD, UNKNOWN, MODERN]}), verdicts.Modern),
    (reply(200, {"supportedVersions": [OLD]}), verdicts.Legacy),
    (reply(200, {"supportedVersions": [UNKNOWN]}), verdicts.Failed),
    (reply(200, {"supportedVersions": []}), verdicts.Failed),
    (reply(200, {"supportedVersions": "all"}), verdicts.Legacy),
    (reply(200, {}), verdicts.Legacy),
    (reply(200, []), verdicts.Legacy),
    (reply(200, error=error(-32601)), verdicts.Legacy),
    (reply(200, error=error(-32602)), verdicts.Legacy),
    (reply(200, error=error("odd")), verdicts.Legacy),
    (reply(200), verdicts.Legacy),
    (reply(202), verdicts.Legacy),
    (reply(204), verdicts.Legacy),
    # errors that only a modern server sends, whatever the status
    (reply(400, error=error(-32022, [MODERN])), verdicts.RetryWith),
    (reply(400, error=error(-32022, [OLD, MODERN])), verdicts.RetryWith),
    (reply(200, error=error(-32022, [MODERN])), verdicts.RetryWith),
    (reply(400, error=error(-32022, [OLD])), verdicts.Legacy),
    (reply(400, error=error(-32022, [UNKNOWN])), verdicts.Failed),
    (reply(400, error=error(-32022)), verdicts.Failed),
    (reply(400, error=error(-32022, "all")), verdicts.Failed),
    (reply(400, error=error(-32020)), verdicts.Failed),
    (reply(400, error=error(-32021)), verdicts.Failed),
    (reply(404, error=error(-32601)), verdicts.Modern),
    # a client error that says nothing of the kind
    (reply(400), verdicts.Legacy),
    (reply(400, error=error(-32601)), verdicts.Legacy),
    (reply(400, error=error(-32602)), verdicts.Legacy),
    (reply(400, error=error(-32600)), verdicts.Legacy),
    (reply(400, error=error(-32000)), verdicts.Legacy),
    (reply(400, {"supportedVersions": [MODERN]}), verdicts.Legacy),
    (reply(404), verdicts.Legacy),
    (reply(404, error=error(-32001)), verdicts.Legacy),
    (reply(405), verdicts.Legacy),
    (reply(406), verdicts.Legacy),
    (reply(415), verdicts.Legacy),
    (reply(422), verdicts.Legacy),
    # a server error
    (reply(500), verdicts.Legacy),
    (reply(500, error=error(-32603)), verdicts.Legacy),
    (reply(501), verdicts.Legacy),
    # nothing is said of the era
    (reply(429), verdicts.Failed),
    (reply(502), verdicts.Failed),
    (reply(503), verdicts.Failed),
    (reply(504), verdicts.Failed),
]


@pytest.mark.parametrize(("answer", "verdict"), DISCOVERED)
def test_what_an_answer_to_discover_means(answer: Reply, verdict: type) -> None:
    """Each row of the first table."""
    assert type(discovered(answer, "it")) is verdict


def test_the_newest_mutual_version_is_taken() -> None:
    """Of the versions that a server lists, ours is chosen, and what it said is kept."""
    result = {"supportedVersions": ["2099-01-01", MODERN]}
    assert discovered(reply(200, result), "it") == verdicts.Modern(V2026_07_28, result)


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (DeadlinePassed("x", "head"), verdicts.Legacy),
        (DeadlinePassed("x", "idle"), verdicts.Legacy),
        (DeadlinePassed("x", "connect"), verdicts.Failed),
        (AnswerLost("x"), verdicts.Legacy),
        (BadAnswer("x"), verdicts.Legacy),
        (AnswerTooLarge("x"), verdicts.Legacy),
        (Unreachable("x"), verdicts.Failed),
        (Unauthorized("x", 401), verdicts.Failed),
        (Unauthorized("x", 403), verdicts.Failed),
        (Refused("x", 302), verdicts.Failed),
    ],
)
def test_what_no_answer_to_discover_means(wrong: ClientError, verdict: type) -> None:
    """Silence and noise are an old server's; no connection, no credentials and a redirect say nothing of eras."""
    assert type(undiscovered(wrong)) is verdict


GOOD = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
INITIALIZED = [
    (reply(200, GOOD), verdicts.Established),
    (reply(200, {**GOOD, "protocolVersion": UNKNOWN}), verdicts.Failed),
    (reply(200, {**GOOD, "protocolVersion": MODERN}), verdicts.Failed),
    (reply(200, {}), verdicts.Failed),
    (reply(200), verdicts.Failed),
    (reply(202), verdicts.Failed),
    (reply(204), verdicts.Failed),
    (reply(200, error=error(-32602)), verdicts.Failed),
    (reply(400, error=error(-32022, [MODERN])), verdicts.RetryWith),
    (reply(200, error=error(-32022, [MODERN])), verdicts.RetryWith),
    (reply(400, error=error(-32022, [UNKNOWN])), verdicts.TryHttpSse),
    (reply(400), verdicts.TryHttpSse),
    (reply(400, error=error(-32602)), verdicts.TryHttpSse),
    (reply(404), verdicts.TryHttpSse),
    (reply(405), verdicts.TryHttpSse),
    (reply(406), verdicts.Failed),
    (reply(410), verdicts.Failed),
    (reply(422), verdicts.Failed),
    (reply(429), verdicts.Failed),
    (reply(500), verdicts.Failed),
    (reply(503), verdicts.Failed),
]


@pytest.mark.parametrize(("answer", "verdict"), INITIALIZED)
def test_what_an_answer_to_initialize_means(answer: Reply, verdict: type) -> None:
    """Each row of the second table."""
    assert type(initialized(answer, "it")) is verdict


def test_a_session_has_what_was_agreed() -> None:
    """The session bears the id and the version of the server."""
    verdict = initialized(reply(200, GOOD), "it")
    assert isinstance(verdict, verdicts.Established)
    assert (verdict.session.id, verdict.session.server.revision) == ("s", V2025_06_18)


def test_what_was_wrong_is_said_as_the_server_said_it() -> None:
    """A JSON-RPC error is raised as one, any other refusal with its status."""
    said = initialized(reply(400, error=error(-32602)), "it")
    assert isinstance(said, verdicts.TryHttpSse)
    assert isinstance(said.error, RemoteError)
    silent = initialized(reply(404), "it")
    assert isinstance(silent, verdicts.TryHttpSse)
    assert isinstance(silent.error, Refused)
