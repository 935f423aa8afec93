"""The daemon in this process: listening, reloading, stopping, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from mcpserve.errors import Busy, Refusal, StartError
from mcpserve.policy.callers import Caller
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.service.bounds import http_limits, origins
from mcpserve.service.daemon import Daemon, session_limits
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from tests.client.server_certificate import pem
from tests.recording import RecordingCarrier, exchange_of

PLUGIN = """
from mcpserve import Call, tool

@tool
async def {name}(call: Call, seconds: float = 1) -> str:
    "Wait."
    await call.sleep(seconds)
    return "{name}"
"""


class House:
    """A daemon that serves a directory of plugins."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.reactor = MemoryReactorClock()
        self.put("wait")
        listen = ("tcp:8000:interface=127.0.0.1",)
        self.settings = Settings(**{"plugins": (str(folder),), "shipped": False, "listen": listen, **settings})
        self.daemon = Daemon(self.reactor, self.settings, load(self.settings))

    def put(self, name: str, source: str = PLUGIN) -> None:
        """Write a plugin; braces of the source are filled with its name."""
        (self.folder / "plugin.py").write_text(source.format(name=name))

    def call(self, name: str, **arguments: Any) -> RecordingCarrier:
        """Call a tool without any transport."""
        exchange, carrier = exchange_of("tools/call", {"name": name, "arguments": arguments})
        self.daemon.offer.features.tools.call(exchange, RequestMetadata(revision=V2026_07_28), Caller())
        return carrier

    def names(self) -> list[str]:
        """The tools that are served."""
        return [tool.name for tool in self.daemon.offer.features.tools.catalog]

    def stop(self) -> list[object]:
        """Stop the service; the list has an element when that is over."""
        over: list[object] = []
        self.daemon.stopService().addCallback(over.append)
        return over

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.reactor.pump([0.02] * round(seconds / 0.02))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A daemon that drains for two seconds."""
    return House(tmp_path, drain=2.0)


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """What the daemon logs."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("mcpserve.service."):
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


# --- listening


@pytest.mark.parametrize("privileged", [False, True])
def test_it_listens_once(tmp_path: Path, privileged: bool) -> None:
    """On each endpoint, whether or not there was a privileged start (`twistd` has one, `twist` has not)."""
    house = House(tmp_path, listen=("tcp:8000:interface=127.0.0.1", "tcp:8001"))
    assert house.reactor.tcpServers == []
    if privileged:
        house.daemon.privilegedStartService()
    house.daemon.startService()
    assert [(server[0], server[3]) for server in house.reactor.tcpServers] == [(8000, "127.0.0.1"), (8001, "")]
    house.stop()
    house.advance(0.1)


@pytest.mark.parametrize("endpoint", ["", "nonsense", "tcp:http", "tcp", "tcp:1:nope=1", "ssl:443:privateKey=/no/such"])
def test_what_is_no_endpoint(tmp_path: Path, endpoint: str) -> None:
    """One sentence that names it."""
    house = House(tmp_path, listen=(endpoint,))
    with pytest.raises(StartError) as caught:
        house.daemon.startService()
    assert repr(endpoint) in str(caught.value) or endpoint in str(caught.value)


def test_a_port_that_is_taken(house: House) -> None:
    """One sentence with the reason of the operating system."""

    def taken(*_: Any, **__: Any) -> None:
        raise CannotListenError("127.0.0.1", 8000, OSError(98, "Address already in use"))

    house.reactor.listenTCP = taken
    with pytest.raises(StartError, match=r"can't listen on tcp:8000:interface=127\.0\.0\.1: Address already in use"):
        house.daemon.startService()


# --- reloading


def test_a_reload(house: House, lines: list[LogEvent]) -> None:
    """New calls find the new tools; a call that runs goes on with its own."""
    carrier = house.call("wait")
    house.put("other")
    house.daemon.offer.reload()
    assert house.names() == ["other"]
    house.advance(1.1)
    assert carrier.replies[0]["result"]["content"][0]["text"] == "wait"
    assert [(line["counts"], line["new"], line["gone"]) for line in lines] == [("1 tool", 1, 1)]


@pytest.mark.parametrize(
    "source",
    ["def broken(:", "1 / 0", "raise SystemExit", "", "def tools(): return [5]", "def configure(settings): 1 / 0"],
)
def test_a_reload_that_fails(house: House, source: str, lines: list[LogEvent]) -> None:
    """The old set stays, running calls go on, and the log has the sentence."""
    carrier = house.call("wait")
    house.put("wait", source)
    house.daemon.offer.reload()
    assert house.names() == ["wait"]
    assert carrier.replies == []
    assert [line["log_level"].name for line in lines] == ["error"]
    assert "plugin.py" in lines[0]["problem"]
    house.advance(1.1)
    assert len(carrier.replies) == 1


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # as Twisted does
def test_a_reload_of_a_certificate(tmp_path: Path, lines: list[LogEvent]) -> None:
    """SIGHUP takes it, with the rest."""
    path = tmp_path / "server.pem"
    path.write_bytes(pem("localhost"))
    house = House(tmp_path, listen=(f"ssl:8443:privateKey={path}:interface=127.0.0.1",))
    house.daemon.startService()
    path.write_bytes(pem("localhost"))
    house.daemon.reload()
    assert "Certificate of ssl:8443 reloaded" in " ".join(map(formatEvent, lines))
    house.stop()
    house.advance(0.1)


def test_a_reload_that_takes_a_chosen_tool_away(tmp_path: Path, lines: list[LogEvent]) -> None:
    """The operator named it; it is not dropped in silence."""
    house = House(tmp_path, only=("wait",))
    house.put("other")
    house.daemon.offer.reload()
    assert house.names() == ["wait"]
    assert "nothing is named 'wait'" in lines[0]["problem"]


# --- stopping


def test_nothing_to_wait_for(house: House) -> None:
    """It is over at once, and nothing is left in the reactor."""
    house.daemon.startService()
    over = house.stop()
    house.advance(0.02)
    assert len(over) == 1
    assert house.reactor.getDelayedCalls() == []


def test_calls_that_end_in_time(house: House) -> None:
    """They are waited for, and have their results."""
    house.daemon.startService()
    carrier = house.call("wait", seconds=1)
    over = house.stop()
    house.advance(0.9)
    assert (len(over), carrier.replies) == (0, [])
    house.advance(0.3)
    assert len(over) == 1
    assert "result" in carrier.replies[0]
    assert house.reactor.getDelayedCalls() == []


def test_calls_that_do_not(house: House) -> None:
    """They are cancelled when the time is up, with an error that says why."""
    house.daemon.startService()
    carrier = house.call("wait", seconds=100)
    over = house.stop()
    house.advance(1.9)
    assert len(over) == 0
    house.advance(0.3)
    assert len(over) == 1
    assert carrier.replies[0]["error"]["message"] == "The server is shutting down; call again"
    assert house.reactor.getDelayedCalls() == []


# --- from settings to limits


@pytest.mark.parametrize(
    ("listen", "host", "allowed"),
    [
        (("tcp:8000:interface=127.0.0.1",), b"192.0.2.1:8000", False),
        (("tcp:8000:interface=localhost",), b"192.0.2.1:8000", False),
        (("unix:/run/m.sock",), b"192.0.2.1", False),
        (("tcp:8000",), b"192.0.2.1:8000", True),
        (("tcp:8000:interface=127.0.0.1", "tcp:8001"), b"192.0.2.1:8001", True),
        (("tcp:8000",), b"evil.example", False),
        (("tcp:8000",), b"mcp.example", True),
    ],
)
def test_hosts(listen: tuple[str, ...], host: bytes, allowed: bool) -> None:
    """Strict on loopback; by address where the server can't know which are its own; names only if allowed."""
    policy = origins(Settings(listen=listen, allow_hosts=("mcp.example",)))
    if allowed:
        policy.check(host, None)
    else:
        with pytest.raises(Refusal):
            policy.check(host, None)


def test_limits() -> None:
    """Each setting arrives where it counts."""
    chosen = Settings(
        max_sessions=1,
        session_idle=2,
        session_lifetime=3,
        resume_grace=4,
        resume_events=41,
        resume_size=4200,
        resume_age=43,
        resume_memory=440_000,
        body_limit=5000,
        header_timeout=6,
        body_timeout=7,
        idle_timeout=8,
        write_stall=9,
    )
    sessions, http = session_limits(chosen), http_limits(chosen)
    assert (sessions.count, sessions.idle, sessions.lifetime, sessions.resume.grace) == (1, 2, 3, 4)
    kept = sessions.resume.events
    assert (kept.count, kept.size, kept.age, sessions.memory) == (41, 4200, 43, 440_000)
    assert (http.body, http.header_timeout, http.body_timeout, http.idle_timeout, http.write_stall) == (
        5000,
        6,
        7,
        8,
        9,
    )


def test_names_of_the_server(tmp_path: Path) -> None:
    """The operator's name for it, its instructions, and its limit of calls."""
    house = House(tmp_path, name="ours", instructions="Read on.", max_calls=1)
    house.call("wait")
    with pytest.raises(Busy, match="max_calls"):
        house.call("wait")
    server = house.daemon.offer.dispatcher.envelope.server
    assert server["name"] == "ours"
    house.daemon.startService()
    house.stop()
    house.advance(11)
