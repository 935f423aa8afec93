"""The official client with credentials: keys, tokens, and the whole way to a token from nothing but the URL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.interop.authority import Authority, authority
from tests.interop.drivers import CLIENTS, LATEST_LEGACY, MODERN, carry_out
from tests.interop.peers import Peers
from tests.interop.served import Served, eventually, free_port, running, twist_mcpserve

pytestmark = pytest.mark.interop

PLUGINS = Path(__file__).with_name("plugins")
VERSIONS = {"legacy": LATEST_LEGACY, "modern": MODERN, "auto": MODERN}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Authority]:
    """An authorization server."""
    with authority() as found:
        yield found


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys."""
    return tmp_path_factory.mktemp("keys") / "keys.json"


def mcpserve_keys(keys: Path, *words: str) -> str:
    """Carry `mcpserve keys` out, as an operator does."""
    command = [sys.executable, "-m", "mcpserve", "keys", *words, "--file", str(keys)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    """A key in it."""
    return mcpserve_keys(keys, "add", "ci", "--scope", "mcp")


@pytest.fixture(scope="module")
def server(issuer: Authority, keys: Path, key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes keys, and tokens of the issuer with a scope."""
    log, root = tmp_path_factory.mktemp("server") / "server.log", f"http://127.0.0.1:{free_port()}"
    options = ["--keys", str(keys), "--public-url", root, "--issuer", issuer.url, "--scope", "mcp"]
    listen = f"tcp:{root.rpartition(':')[2]}:interface=127.0.0.1"
    command = twist_mcpserve("--listen", listen, "--plugins", str(PLUGINS), *options)
    with running(command, f"{root}/mcp", log) as served:
        yield served


def call(peers: Peers, server: Served, era: str, credential: str) -> Any:
    """What the client says that `whoami` said."""
    script = str(CLIENTS / "authorized_client.py")
    return carry_out([str(peers.python), script, server.url, era, credential, "whoami"])


@pytest.mark.parametrize("era", list(VERSIONS))
def test_a_key(server: Served, peers: Peers, key: str, era: str) -> None:
    """In either header."""
    for credential in (f"key:{key}", f"bearer:{key}"):
        assert call(peers, server, era, credential) == {"text": "key:ci mcp", "version": VERSIONS[era]}


@pytest.mark.parametrize("era", list(VERSIONS))
def test_a_token(server: Served, peers: Peers, issuer: Authority, era: str) -> None:
    """One that the client was given."""
    token = issuer.token(aud=server.url, scope="mcp more")
    assert call(peers, server, era, f"bearer:{token}")["text"] == f"{issuer.url}|ada mcp more"


@pytest.mark.parametrize("era", list(VERSIONS))
def test_the_whole_way(server: Served, peers: Peers, issuer: Authority, era: str) -> None:
    """401, the metadata of the resource, that of the issuer, registration, a code, a token for this server, and in."""
    issuer.asked.clear()
    assert call(peers, server, era, "oauth") == {"text": f"{issuer.url}|ada mcp", "version": VERSIONS[era]}
    assert [path for path in issuer.asked if path != "/jwks"] == [
        "/.well-known/oauth-authorization-server",
        "/register",
        "/authorize",
        "/token",
    ]
    assert issuer.tokens[-1]["resource"] == server.url


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("what", ["none", "key", "audience", "scope", "expired", "forged"])
def test_who_is_not_let_in(server: Served, peers: Peers, issuer: Authority, era: str, what: str) -> None:
    """The client tells that it was refused; the tool never ran."""
    good = {"aud": server.url, "scope": "mcp"}
    forger = Authority(url=issuer.url)
    credential = {
        "none": "none",
        "key": "key:mcps_0000000000_" + "x" * 43,
        "audience": "bearer:" + issuer.token(**{**good, "aud": "https://else.example"}),
        "scope": "bearer:" + issuer.token(**{**good, "scope": "other"}),
        "expired": "bearer:" + issuer.token(**good, exp=1),
        "forged": "bearer:" + forger.token(**good),
    }[what]
    outcome = call(peers, server, era, credential)
    assert "text" not in outcome
    assert outcome["errors"]


def test_a_key_that_is_revoked(server: Served, peers: Peers, keys: Path) -> None:
    """It is good when the server has read the file, and no more when it has read it again."""
    late = mcpserve_keys(keys, "add", "late")
    assert "errors" in call(peers, server, "modern", f"key:{late}")
    for words, answer in (([], "text"), (["revoke", "late"], "errors")):
        if words:
            mcpserve_keys(keys, *words)
        seen = server.log.read_text().count("Keys reloaded")
        server.process.send_signal(signal.SIGHUP)
        eventually("the keys are read", lambda seen=seen: server.log.read_text().count("Keys reloaded") > seen)
        assert answer in call(peers, server, "modern", f"key:{late}")


def test_the_issuer_changes_its_key(server: Served, peers: Peers, issuer: Authority) -> None:
    """Tokens by the new one are good at once."""
    issuer.keys["k2"] = ec.generate_private_key(ec.SECP256R1())
    token = issuer.token(aud=server.url, scope="mcp")
    assert "text" in call(peers, server, "modern", f"bearer:{token}")


def test_no_secret_is_in_the_log(server: Served, peers: Peers, issuer: Authority, key: str) -> None:
    """Neither one that was good nor one that was not."""
    token = issuer.token(aud=server.url, scope="mcp")
    bad = issuer.token(aud="https://else.example")
    for credential in (f"key:{key}", f"bearer:{token}", f"bearer:{bad}", f"key:{key}x"):
        call(peers, server, "modern", credential)
    text = server.log.read_text()
    assert "eyJ" not in text
    assert json.dumps(key) not in text
    assert "mcps_" not in text
