"""The first words with a server, of either era: what it may answer, and what is made of that."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.client.limits import Timeouts
from mcpserve.errors import BadAnswer, ClientError, DeadlinePassed, RemoteError, Unreachable
from mcpserve.protocol.revisions import LEGACY as LEGACIES
from mcpserve.protocol.revisions import V2025_06_18, V2026_07_28
from tests.client.talking import LEGACY, MODERN, Talk, outcome


def test_a_modern_server() -> None:
    """One question, with the metadata that each request of 2026-07-28 carries, and no more."""
    talk = Talk(log_level="info")
    opening = outcome(talk.duplex.open())
    (sent,) = talk.channel.sent
    assert sent["method"] == "server/discover"
    assert sent["params"]["_meta"] == {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/logLevel": "info",
    }
    talk.channel.reply(
        {
            "supportedVersions": ["2099-01-01", MODERN],
            "capabilities": {"tools": {}},
            "instructions": "Be kind",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "served", "version": "2"}},
        }
    )
    assert opening.done
    assert opening.error is None
    server = talk.duplex.server
    assert (server.revision, server.transport, server.instructions) == (V2026_07_28, "stdio", "Be kind")
    assert server.implementation is not None
    assert server.implementation.name == "served"
    assert server.capabilities == {"tools": {}}
    assert talk.channel.agreement is V2026_07_28
    assert talk.channel.methods == ["server/discover"]
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32601, "message": "no"}},
        {"error": {"code": -32602, "message": "no"}},
        {"error": {"code": 0, "message": "no"}},
        {"error": {"code": -32022, "message": "no", "data": {"supported": ["2025-11-25"]}}},
        {"error": {"code": -32022, "message": "no"}},
        {"result": {}},
        {"result": []},
        {"result": {"supportedVersions": [LEGACY]}},
        {"result": {"supportedVersions": "2026-07-28"}},
    ],
)
def test_what_makes_a_server_legacy(answer: dict[str, Any]) -> None:
    """Anything that is no modern answer leads to initialize, whatever its code is."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.say(id=1, **answer)
    assert talk.channel.methods == ["server/discover", "initialize"]
    assert talk.channel.sent[1]["params"] == {
        "protocolVersion": LEGACY,
        "capabilities": {"sampling": {}},
        "clientInfo": {"name": "test", "version": "1"},
    }
    assert not opening.done
    talk.welcome()
    assert opening.done
    assert opening.error is None
    assert talk.channel.sent[2:] == [{"jsonrpc": "2.0", "method": "notifications/initialized"}]
    assert talk.duplex.server.revision.name == LEGACY
    assert talk.duplex.server.implementation is not None
    assert talk.duplex.server.implementation.title == "Served"


def test_an_error_that_names_no_request() -> None:
    """Servers that could not read the question answer with `"id": null`: the only question is meant."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.say(id=None, error={"code": -32700, "message": "What?"})
    assert talk.channel.methods == ["server/discover", "initialize"]
    talk.welcome()
    assert opening.done


def test_another_modern_version() -> None:
    """A server that is modern, but refuses the version, is asked again with one that it names; once."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.refuse(-32022, {"supported": [MODERN], "requested": MODERN})
    assert talk.channel.methods == ["server/discover"] * 2
    talk.channel.refuse(-32022, {"supported": [MODERN], "requested": MODERN})
    assert isinstance(opening.error, RemoteError)
    assert opening.error.code == -32022
    assert talk.channel.closed == 1


def test_no_version_in_common() -> None:
    """ "Do not fall back to initialize": a server that only speaks what we do not is an error."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.refuse(-32022, {"supported": ["2099-01-01"], "requested": MODERN})
    assert isinstance(opening.error, RemoteError)
    assert talk.channel.methods == ["server/discover"]
    assert talk.closed == 1


@pytest.mark.parametrize("late", [None, "discover"])
def test_silence(late: str | None) -> None:
    """A server that does not answer is offered initialize after five seconds; a late answer does no harm."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.clock.advance(4.9)
    assert talk.channel.methods == ["server/discover"]
    talk.clock.advance(0.2)
    assert talk.channel.methods == ["server/discover", "initialize"]
    if late is not None:
        talk.channel.say(id=1, error={"code": -32601, "message": "no"})
    talk.welcome()
    assert opening.done
    assert opening.error is None
    assert talk.duplex.server.revision.name == LEGACY
    assert talk.channel.withdrawn == []
    assert talk.clock.getDelayedCalls() == []


def test_a_modern_server_that_is_slow_to_start() -> None:
    """It answers both late, and has no initialize: it is modern."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.clock.advance(6)
    talk.channel.say(id=1, result={"supportedVersions": [MODERN], "capabilities": {}})
    assert not opening.done
    talk.channel.say(id=2, error={"code": -32601, "message": "no"})
    assert opening.done
    assert opening.error is None
    assert talk.duplex.server.revision is V2026_07_28
    assert talk.channel.methods == ["server/discover", "initialize"]


def test_a_slow_server_of_both_eras() -> None:
    """It answers both late: what was agreed last counts, which is the session."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.clock.advance(6)
    talk.channel.say(id=1, result={"supportedVersions": [MODERN], "capabilities": {}})
    talk.welcome()
    assert opening.done
    assert talk.duplex.server.revision.name == LEGACY


def test_a_server_that_became_modern_meanwhile() -> None:
    """It lost the first question, and refuses initialize with a version: it is asked once more."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.clock.advance(6)
    talk.channel.refuse(-32022, {"supported": [MODERN], "requested": LEGACY})
    assert talk.channel.methods == ["server/discover", "initialize", "server/discover"]
    talk.greet()
    assert opening.done
    assert talk.duplex.server.revision is V2026_07_28


def test_nothing_at_all() -> None:
    """A server that answers neither fails by the deadline, and initialize is not cancelled."""
    talk = Talk(timeouts=Timeouts(head=20))
    opening = outcome(talk.duplex.open())
    talk.clock.advance(5)
    talk.clock.advance(20)
    assert isinstance(opening.error, DeadlinePassed)
    assert opening.error.which == "head"
    assert talk.channel.withdrawn == []
    assert talk.channel.closed == 1
    assert talk.clock.getDelayedCalls() == []


def test_a_server_that_dies_of_the_question() -> None:
    """Some servers end when their first message is not initialize: a new one gets nothing else."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.lose()
    assert len(talk.channels) == 2
    assert talk.channels[0].closed == 1
    assert talk.channel.methods == ["initialize"]
    talk.welcome()
    assert opening.done
    assert opening.error is None


def test_a_server_that_dies_in_any_case() -> None:
    """It is tried twice, and then there is no connection."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.channel.lose()
    talk.channel.lose()
    assert isinstance(opening.error, Unreachable)
    assert len(talk.channels) == 2
    assert [one.closed for one in talk.channels] == [1, 1]
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("version", sorted(LEGACIES))
def test_each_legacy_version(version: str) -> None:
    """Whatever known version the server offers is spoken."""
    talk = Talk().legacy(version)
    assert talk.duplex.server.revision.name == version
    assert talk.channel.agreement is LEGACIES[version]


@pytest.mark.parametrize("version", ["1999-01-01", MODERN, 5, None])
def test_an_unknown_version(version: Any) -> None:
    """ "If the client does not support the version in the server's response, it SHOULD disconnect." """
    talk = Talk(probes=False)
    opening = outcome(talk.duplex.open())
    talk.welcome(version)
    assert isinstance(opening.error, BadAnswer)
    assert talk.channel.closed == 1


def test_a_forced_modern_revision() -> None:
    """There is no way back: what is no DiscoverResult is an error."""
    talk = Talk(revision=V2026_07_28)
    opening = outcome(talk.duplex.open())
    talk.channel.refuse(-32601)
    assert isinstance(opening.error, RemoteError)
    talk = Talk(revision=V2026_07_28)
    opening = outcome(talk.duplex.open())
    talk.channel.reply({"tools": []})
    assert isinstance(opening.error, BadAnswer)


def test_a_forced_legacy_revision() -> None:
    """It is offered without a question before, and nothing else is taken."""
    talk = Talk(revision=V2025_06_18)
    opening = outcome(talk.duplex.open())
    assert talk.channel.sent[0]["params"]["protocolVersion"] == "2025-06-18"
    talk.welcome("2025-06-18")
    assert opening.done
    assert opening.error is None
    talk = Talk(revision=V2025_06_18)
    opening = outcome(talk.duplex.open())
    talk.welcome(LEGACY)
    assert isinstance(opening.error, BadAnswer)


@pytest.mark.parametrize("seconds", [0, 6])
def test_cancelled(seconds: float) -> None:
    """Whoever no longer wants to begin leaves nothing behind, at whatever point."""
    talk = Talk()
    opening = outcome(talk.duplex.open())
    talk.clock.advance(seconds)
    assert opening.deferred is not None
    opening.deferred.cancel()
    assert opening.done
    assert talk.channel.closed == 1
    assert talk.channel.withdrawn == []
    assert talk.clock.getDelayedCalls() == []


def test_no_channel() -> None:
    """What keeps the channel from being made is what is raised."""
    talk = Talk()
    talk.refusals.append(Unreachable("no such command"))
    opening = outcome(talk.duplex.open())
    assert isinstance(opening.error, ClientError)
    assert str(opening.error) == "no such command"
    assert talk.closed == 1
