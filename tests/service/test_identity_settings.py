"""Who may come in, as the settings say it: what fits together, what is reloaded, what is loaded at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.errors import ConfigurationError, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.keys import KeyRing, make_key
from mcpserve.policy.origins import Origins
from mcpserve.protocol.revisions import LEGACY
from mcpserve.service.daemon import Daemon
from mcpserve.service.identity import Entrance, check_identity
from mcpserve.service.keyfile import changing, read_used
from mcpserve.service.plugins import load
from mcpserve.service.settings import HTTP_ONLY, Settings
from mcpserve.service.tap import Options
from mcpserve.web.admission import Admission
from tests.wire.http import CLIENT_ADDRESS, Peer
from tests.wire.server import NOTHING

ISSUER, PUBLIC = "https://as.example", "https://mcp.example.org"
TOKENS: dict[str, Any] = {"issuers": (ISSUER,), "public_url": PUBLIC}
ASKING: dict[str, Any] = {
    **TOKENS,
    "introspection": f"{ISSUER}/introspect",
    "introspection_client": "mcp",
    "introspection_secret": "s3cret",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file without keys."""
    path = tmp_path / "keys.json"
    with changing(path):
        pass
    return path


def put(path: Path, name: str) -> bytes:
    """Add a key; what its owner shows."""
    key, shown = make_key(name, now=0.0, scopes=["admin"])
    with changing(path) as kept:
        kept.append(key)
    return shown.encode("ascii")


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """What is logged."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("mcpserve.service.identity"):
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def ring(entrance: Entrance) -> KeyRing:
    """Its keys."""
    assert entrance.doorkeeper is not None
    assert entrance.doorkeeper.keys is not None
    return entrance.doorkeeper.keys


# --- what fits together


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"issuers": (ISSUER,)}, "issuers need public_url"),
        ({**TOKENS, "public_url": "mcp.example.org"}, "public_url must be an http or https URL"),
        ({"public_url": "mcp.example.org"}, "public_url must be an http or https URL"),
        ({**TOKENS, "public_url": "https://[::1"}, "public_url must be"),
        ({**TOKENS, "public_url": "https://h:99999"}, "public_url must be"),
        ({**TOKENS, "public_url": PUBLIC + "?x"}, "public_url must be"),
        ({**TOKENS, "public_url": "https://a b"}, "public_url must be"),
        ({**TOKENS, "issuers": ("http://as.example",)}, "issuers: 'http://as.example' must be an https URL"),
        ({**TOKENS, "issuers": (ISSUER, "nonsense")}, "issuers: 'nonsense'"),
        ({**TOKENS, "issuers": (ISSUER + "?tenant=1",)}, "without query"),
        ({**TOKENS, "scopes": ("a b",)}, "scopes: "),
        ({**TOKENS, "scopes": ("offline_access",)}, "scopes: .*offline_access"),
        ({**TOKENS, "groups_claim": ""}, "groups_claim"),
        ({**TOKENS, "scope_includes": ("admin",)}, "scope_includes: 'admin'"),
        ({**TOKENS, "introspection_client": "x"}, "mean nothing without introspection"),
        ({**ASKING, "issuers": (ISSUER, "https://other.example")}, "introspection asks one issuer"),
        ({**ASKING, "introspection": "http://as.example/i"}, "introspection must be an https URL"),
        ({**ASKING, "introspection_secret": ""}, "needs introspection_client and introspection_secret"),
        ({"introspection": f"{ISSUER}/introspect"}, "introspection: of access tokens, which need issuers"),
        ({"scopes": ("read",)}, "scopes: of access tokens, which need issuers"),
        ({"audiences": ("x",)}, "audiences: of access tokens, which need issuers"),
        ({"keys": "/no/such/keys.json"}, "/no/such/keys.json: the file of keys can't be read"),
    ],
)
def test_what_does_not_fit_together(settings: dict[str, Any], words: str) -> None:
    """The sentence names the setting; nothing is served without the check that was meant."""
    with pytest.raises(ConfigurationError, match=words):
        Entrance(MemoryReactorClock(), Settings(**settings))
    with pytest.raises(ConfigurationError, match=words):
        check_identity(Settings(**settings))


def test_check_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` lists it among all else that is wrong, and never the secret."""
    config = tmp_path / "mcp.toml"
    config.write_text('issuers = ["https://as.example"]\nintrospection_secret = "s3cret"\nlisten = ["nonsense"]\n')
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--config", str(config), "--check"])
    said = capsys.readouterr().out
    assert caught.value.code == 1
    assert "issuers need public_url" in said
    assert "nonsense" in said
    assert "s3cret" not in said


def test_secrets_are_in_no_repr_and_no_message(tmp_path: Path) -> None:
    """Neither of the settings nor of a complaint about them."""
    assert "s3cret" not in repr(Settings(**ASKING, state_key="s3cret"))
    config = tmp_path / "mcp.toml"
    config.write_text('introspection_secret = ["s3cret"]\n')
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--config", str(config)])
    assert "introspection_secret must be a text" in str(caught.value.code)
    assert "s3cret" not in str(caught.value.code)


def test_the_file_of_keys_counts_from_the_configuration(tmp_path: Path) -> None:
    """A daemon changes its own directory."""
    config = tmp_path / "mcp.toml"
    config.write_text('keys = "keys.json"\n')
    options = Options()
    options.parseOptions(["--config", str(config)])
    assert options.settings.keys == str(tmp_path / "keys.json")


def test_over_stdio_nobody_is_asked() -> None:
    """Spec: "Implementations using an STDIO transport SHOULD NOT follow this specification"."""
    assert {*ASKING, "keys", "audiences", "scopes", "scope_includes", "groups_claim"} <= HTTP_ONLY


# --- what there is then


def test_nobody_is_asked_by_default(lines: list[LogEvent]) -> None:
    """That is well on loopback; elsewhere the log says what it means."""
    entrance = Entrance(MemoryReactorClock(), Settings())
    assert entrance.doorkeeper is None
    assert entrance.places(Admission(Origins())) == {}
    entrance.start()
    assert lines == []
    Entrance(MemoryReactorClock(), Settings(listen=("tcp:8000",))).start()
    assert [line["listen"] for line in lines] == ["tcp:8000"]
    entrance.reload()
    entrance.stop()


SESSION = {"Mcp-Session-Id": "x", "Accept": "text/event-stream"}


def a_daemon(**settings: Any) -> Daemon:
    """One that listens nowhere."""
    chosen = Settings(shipped=False, **settings)
    return Daemon(MemoryReactorClock(), chosen, load(chosen))


def asked(daemon: Daemon, method: str, place: str, headers: Mapping[str, str] = NOTHING) -> Peer:
    """Somebody who has asked for something."""
    peer = Peer(daemon.site, daemon.site.clock)
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    peer.send(f"{method} {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{''.join(lines)}\r\n".encode())
    return peer


def test_an_empty_file_lets_nobody_in(path: Path) -> None:
    """It is not taken for none."""
    entrance = Entrance(MemoryReactorClock(), Settings(keys=str(path)))
    with pytest.raises(Unproven):
        ring(entrance).find(make_key("ada", now=0.0)[1].encode(), 0.0)


@pytest.mark.parametrize(
    ("method", "place", "status"),
    [
        *((method, "/mcp", 401) for method in ("POST", "GET", "DELETE", "HEAD")),
        ("POST", "/mcp/", 401),
        ("GET", "/sse", 401),
        ("POST", "/messages?sessionId=x", 401),
        ("GET", "/.well-known/oauth-protected-resource", 200),
        ("GET", "/health/live", 200),
    ],
)
def test_every_door_asks(path: Path, method: str, place: str, status: int) -> None:
    """A daemon that has keys lets nobody in without one, whatever way he comes."""
    assert asked(a_daemon(keys=str(path), **TOKENS, http_sse=True), method, place).status == status


def test_a_daemon_believes_its_proxies() -> None:
    """And nobody else."""
    for trusted, status in (((), 404), ((CLIENT_ADDRESS,), 421)):
        peer = asked(a_daemon(trusted_proxies=trusted), "GET", "/mcp", {"X-Forwarded-Host": "evil", **SESSION})
        assert peer.status == status


@pytest.mark.parametrize("credentials", [False, True])
def test_what_a_daemon_tells_browsers(credentials: bool) -> None:
    """Preflights are answered; cookies are for who wants them."""
    page = "https://app.example.org"
    daemon = a_daemon(allow_origins=(page,), cors_credentials=credentials)
    peer = asked(daemon, "OPTIONS", "/mcp", {"Origin": page, "Access-Control-Request-Method": "POST"})
    assert peer.status == 204
    assert peer.headers.get("access-control-allow-credentials") == ("true" if credentials else None)


def test_keys_have_what_their_scopes_include(path: Path) -> None:
    """As tokens do."""
    shown = put(path, "ada")
    entrance = Entrance(MemoryReactorClock(), Settings(keys=str(path), scope_includes=("admin=read",)))
    assert ring(entrance).find(shown, 0.0).scopes == {"admin", "read"}


def test_where_tokens_are_to_be_had() -> None:
    """The documents are served, and challenges name them, each for its path."""
    entrance = Entrance(MemoryReactorClock(), Settings(**TOKENS, http_sse=True), {"/sse": ("/messages",)})
    root = "/.well-known/oauth-protected-resource"
    assert {*entrance.places(Admission(Origins()))} == {f"{root}{path}".encode() for path in ("", "/mcp", "/sse")} | {
        b"/.well-known/oauth-authorization-server"
    }
    for path, shown in (("/mcp", "/mcp"), ("/sse", "/sse"), ("/messages", "/sse")):
        header = entrance.challenges.missing("Who?", path).headers["WWW-Authenticate"]
        assert f'resource_metadata="{PUBLIC}{root}{shown}"' in header
    entrance.stop()


# --- reloading


def test_a_reload(path: Path, lines: list[LogEvent]) -> None:
    """New keys let in, revoked ones do not."""
    old = put(path, "ada")
    entrance = Entrance(MemoryReactorClock(), Settings(keys=str(path)))
    with changing(path) as kept:
        kept.clear()
    new = put(path, "bob")
    assert entrance.reload() == {"key:ada", old[5:15].decode()}
    assert ring(entrance).find(new, 0.0).name == "key:bob"
    with pytest.raises(Unproven):
        ring(entrance).find(old, 0.0)
    assert [line["count"] for line in lines] == [1]


def test_sessions_of_who_has_no_key_any_more(path: Path) -> None:
    """They end with the reload; who has another key of the same name keeps them, and so does everybody else."""
    for name in ("ada", "ada", "bob", "eve"):
        put(path, name)
    settings = Settings(keys=str(path), shipped=False)
    daemon = Daemon(MemoryReactorClock(), settings, load(settings))
    for name in ("key:ada", "key:bob", "key:eve"):
        daemon.sessions.open(LEGACY["2025-11-25"], {"name": "x", "version": "1"}, {}, Caller(name=name))
    with changing(path) as kept:
        kept[:] = kept[1:3]
    daemon.reload()
    assert sorted(str(session.owner) for session in daemon.sessions) == ["key:ada", "key:bob"]
    daemon.sessions.close_all()


def test_streams_of_a_key_that_is_gone(path: Path) -> None:
    """They end with the reload, whatever other key the caller has."""
    shown = [put(path, name) for name in ("ada", "ada", "bob")]
    daemon = a_daemon(keys=str(path), http_sse=True)
    accept = {"Accept": "text/event-stream"}
    peers = [asked(daemon, "GET", "/sse", {**accept, "X-API-Key": key.decode()}) for key in shown]
    with changing(path) as kept:
        del kept[0]
    daemon.reload()
    assert [peer.ended for peer in peers] == [["aborted"], [], []]
    daemon.http_sse.close_all()


@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_text("{"), lambda path: path.chmod(0o666)])
def test_a_reload_that_fails(path: Path, lines: list[LogEvent], break_it: Any) -> None:
    """The old keys stay, and the log says why."""
    shown = put(path, "ada")
    entrance = Entrance(MemoryReactorClock(), Settings(keys=str(path)))
    break_it(path)
    assert not entrance.reload()
    assert ring(entrance).find(shown, 0.0).name == "key:ada"
    assert [line["log_level"].name for line in lines] == ["error"]
    assert str(path) in lines[0]["problem"]


def test_the_last_use_is_written_down(path: Path) -> None:
    """Once a minute, if there was one, and at the end."""
    ada, bob = put(path, "ada"), put(path, "bob")
    reactor = MemoryReactorClock()
    entrance = Entrance(reactor, Settings(keys=str(path)))
    entrance.start()
    ring(entrance).find(ada, 1000.0)
    assert read_used(path) == {}
    reactor.advance(60)
    assert list(read_used(path).values()) == ["1970-01-01T00:16:40Z"]
    ring(entrance).find(bob, 2000.0)
    entrance.stop()
    assert sorted(read_used(path).values()) == ["1970-01-01T00:16:40Z", "1970-01-01T00:33:20Z"]
    assert reactor.getDelayedCalls() == []


def test_a_directory_that_can_not_be_written(path: Path, lines: list[LogEvent]) -> None:
    """The log says so; nothing else depends on it."""
    shown = put(path, "ada")
    reactor = MemoryReactorClock()
    entrance = Entrance(reactor, Settings(keys=str(path)))
    entrance.start()
    ring(entrance).find(shown, 1000.0)
    # a directory in the place of the file can't be replaced by one, not even by root
    path.with_name("keys.json.used").mkdir()
    reactor.advance(60)
    assert [line["log_level"].name for line in lines] == ["warn"]
    entrance.stop()


# --- what is loaded

PROBE = """
import sys
from twisted.internet.testing import MemoryReactorClock
from mcpserve.protocol.revisions import LEGACY
from mcpserve.service.daemon import Daemon
from mcpserve.service.identity import Entrance
from mcpserve.service.settings import Settings
Entrance(MemoryReactorClock(), Settings({settings}))
print(sorted(name for name in ("jwt", "treq") if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("settings", "loaded"),
    [
        ("", "[]"),
        ("keys={keys!r}", "[]"),
        (f"issuers=({ISSUER!r},), public_url={PUBLIC!r}", "['jwt', 'treq']"),
    ],
)
def test_what_is_not_used_is_not_loaded(path: Path, settings: str, loaded: str) -> None:
    """Libraries for tokens cost memory and time."""
    program = PROBE.format(settings=settings.format(keys=str(path)) if "{keys" in settings else settings)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded


def test_the_clock_of_keys_is_that_of_the_reactor(path: Path) -> None:
    """Seconds since the epoch, as in the file."""
    key, shown = make_key("ada", now=0.0, expires=100.0)
    with changing(path) as kept:
        kept.append(key)
    clock = Clock()
    entrance = Entrance(clock, Settings(keys=str(path)))
    clock.advance(99)
    assert ring(entrance).find(shown.encode(), clock.seconds())
    clock.advance(1)
    with pytest.raises(Unproven, match="expired"):
        ring(entrance).find(shown.encode(), clock.seconds())
