"""What all commands that talk to a server do alike."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from mcpserve.cli.dialing import dial
from mcpserve.cli.reaching import Reaching
from mcpserve.cli.screens import PlainScreen, Unwritable
from mcpserve.cli.suggesting import PATIENCE, asking_for_tools
from mcpserve.cli.surroundings import Surroundings
from mcpserve.cli.things import Failed
from mcpserve.cli.verdicts import verdict
from mcpserve.client.values import Change, LogMessage
from mcpserve.errors import ClientError, Unreachable
from mcpserve.protocol.types import Result, Text, ToolDefinition
from tests.cli.stand_in import URL, ReactorClock, StandIn, Stream, carry_out

OURS, THEIRS = Logger(namespace="mcpserve.client.catalogue"), Logger(namespace="elsewhere")


def logging(client: StandIn) -> StandIn:
    """A client whose call makes it write to the log."""

    def log() -> None:
        OURS.warn("the tool {name} is left out", name="odd\x1b[2J")
        OURS.info("details")
        THEIRS.info("more details")

    client.events = [log, Result(content=[Text("done")])]
    return client


def test_warnings_are_shown() -> None:
    """On standard error, beside the outcome; more only if that is wanted."""
    session = carry_out("call", URL, "add", client=logging(StandIn()))
    assert (session.out.text, session.err.text) == ("done\n", "mcpserve: the tool odd\\x1b[2J is left out\n")
    session = carry_out("call", URL, "add", "-v", client=logging(StandIn()))
    assert "mcpserve: details" in session.err.text
    assert "more details" not in session.err.text


def test_nothing_is_shown_of_what_is_logged_later() -> None:
    """A command that is over does not listen to the log."""
    session = carry_out("ping", URL)
    OURS.warn("late")
    assert session.err.text == ""


def test_what_is_said_beside_a_call_breaks_the_pipe_too() -> None:
    """That cancels the command; what is no message for the log is not shown there."""
    client = StandIn(events=[Deferred()])
    session = carry_out("call", URL, "add", client=client)
    client.options["on_notice"](Change("notifications/tools/list_changed"))
    assert session.out.text == ""
    session.out.broken = True
    client.options["on_notice"](LogMessage("info", "beside"))
    session.clock.advance(0)
    assert (session.status, session.err.text) == (141, "")


def test_all_of_it_has_a_deadline() -> None:
    """Not only each wait: to open a client may take several tries, and a server may go on for ever."""
    client = StandIn(events=[Deferred()])
    session = carry_out("call", URL, "add", "--timeout", "5", client=client)
    session.clock.advance(4.9)
    assert not session.over
    session.clock.advance(0.2)
    assert (session.status, session.err.text) == (4, "mcpserve: it was not done within 5 s\n")
    assert client.closed
    assert session.clock.getDelayedCalls() == []
    session = carry_out("ping", URL, "--timeout", "5")
    assert (session.status, session.clock.getDelayedCalls()) == (0, [])


def test_a_dumb_terminal_gets_plain_lines() -> None:
    """In which nothing steers it."""
    client = StandIn(events=[Result(content=[Text("\x1b[2J")])])
    session = carry_out("call", URL, "add", client=client, terminal=True, environment={"TERM": "dumb"})
    assert session.out.text == "\\x1b[2J\n"


class Full(Stream):
    """A disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_disk_that_is_full() -> None:
    """Is no bug."""
    with pytest.raises(Unwritable, match="can't write: No space left on device"):
        PlainScreen(Full(), Stream()).show(Result(content=[Text("x")]))


def test_every_error_of_a_client_has_a_verdict() -> None:
    """Also one that comes later; the sentence is on one line, whatever the server says."""
    assert verdict(ClientError("new")).status == 4
    err = Stream()
    PlainScreen(Stream(), err).show(Failed(kind="X", sentence="a\nb", status=3, data={"x": "y" * 5000}))
    assert len(err.text.splitlines()) == 2
    assert len(err.text) < 1200


# --- completion


def suggested(client: StandIn, reaching: Reaching, environment: dict[str, str] | None = None) -> list[str]:
    """The tools that a shell is told of."""
    found: list[ToolDefinition] = []
    around = Surroundings(
        reactor=ReactorClock(),
        input=Stream(),
        out=Stream(),
        err=Stream(),
        environment=environment or {},
        connect=client.connect,  # type: ignore[arg-type]
        ending=None,  # type: ignore[arg-type]
    )
    done: list[int] = []
    ensureDeferred(asking_for_tools(reaching, found)(around)).addCallback(done.append)  # type: ignore[arg-type]
    assert done
    assert around.out.text + around.err.text == ""  # type: ignore[attr-defined]
    return [tool.name for tool in found]


def test_tools_are_suggested() -> None:
    """Of a server over HTTP, within the time that somebody waits at a prompt."""
    client = StandIn(tools=[ToolDefinition(name="add", input_schema={})])
    assert suggested(client, Reaching(server=URL, timeout=PATIENCE)) == ["add"]
    assert client.options["timeouts"].total == PATIENCE
    assert client.closed


def test_nothing_is_suggested_in_silence() -> None:
    """Where nobody answers, there is no such server, or a command would have to be started."""
    tools = [ToolDefinition(name="add", input_schema={})]
    assert suggested(StandIn(unreachable=Unreachable("no")), Reaching(server=URL)) == []
    assert suggested(StandIn(tools=tools), Reaching(server="nope")) == []
    assert suggested(StandIn(tools=tools), Reaching(command=("serve",))) == []


# --- the network


async def test_a_connection_is_timed() -> None:
    """It carries nothing, and is gone at once."""
    lost: Deferred[None] = Deferred()

    @attrs.define(eq=False)
    class Server(Protocol):
        data: bytes = b""

        def dataReceived(self, data: bytes) -> None:
            self.data += data

        def connectionLost(self, reason: Any = None) -> None:
            lost.callback(None)

    port: Any = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")  # type: ignore[attr-defined]
    number = port.getHost().port
    (phase,) = await dial(reactor, f"http://127.0.0.1:{number}/mcp")
    await lost
    await port.stopListening()
    assert (phase.name, phase.outcome) == ("connect", f"to 127.0.0.1, port {number}")
    assert 0 < phase.seconds < 5
    (phase,) = await dial(reactor, f"http://127.0.0.1:{number}/mcp")
    assert re.search("refused", phase.outcome)
