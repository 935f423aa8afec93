"""nginx and HAProxy of Debian with the configurations of the documentation, in front of real servers.

Of the configurations only what belongs to the machine is replaced: ports, certificates, and how long silence may be.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.interop.served import ROOT, eventually, free_port, running, twist_mcpserve
from tests.proxies.client import Client

EXAMPLES = ROOT / "docs" / "examples"
PLUGINS = Path(__file__).with_name("plugins")

PATIENCE = 2
"""Seconds of silence after which the proxies of the tests give an answer up; 60 in the documentation."""

WAYS = ("nginx", "nginx-unix", "haproxy", "haproxy-passthrough")


@attrs.frozen(kw_only=True)
class Way:
    """A way to a server, through a proxy.

    Args:
        port: Where the proxy takes connections, with TLS.
        notes: Where the tools of the server note what befalls them.
        log: Of the server.
    """

    port: int
    notes: Path
    log: Path

    def connect(self, source: str = "127.0.0.1") -> Client:
        """Connect to the proxy."""
        return Client(self.port, source)

    def noted(self, what: str) -> bool:
        """Whether a tool has noted this."""
        return self.notes.exists() and what in self.notes.read_text(encoding="utf-8").splitlines()


@attrs.frozen(kw_only=True)
class Certificate:
    """A certificate that nobody trusts: itself and its key in two files, and both in one."""

    certificate: Path
    key: Path
    both: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The proxies' certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mcp.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(1))
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = Certificate(certificate=folder / "c.crt", key=folder / "c.key", both=folder / "c.pem")
    files.certificate.write_bytes(signed)
    files.key.write_bytes(private)
    files.both.write_bytes(signed + private)
    return files


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each of these replaced; all of them are in it."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not in the example"
        text = text.replace(old, new)
    return text


@contextmanager
def process(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a proxy until the block ends."""
    # on Debian they are where only root looks
    found = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{command[0]} is not installed"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [found, *command[1:]], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        eventually(f"{command} listens", lambda: started.poll() is not None or listens(port))
        assert started.poll() is None, log.read_text()
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@contextmanager
def nginx(folder: Path, certificate: Certificate, server: str) -> Iterator[int]:
    """nginx with the documented configuration."""
    port = free_port()
    text = replaced(
        (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"),
        ("server 127.0.0.1:8000;", f"server {server};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/nginx/mcp.example.org.crt", str(certificate.certificate)),
        ("/etc/nginx/mcp.example.org.key", str(certificate.key)),
        ("proxy_read_timeout 60s;", f"proxy_read_timeout {PATIENCE}s;"),
    )
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names) + "access_log off;\n"
    config = folder / "nginx.conf"
    config.write_text(re.sub(r"^http \{\n", f"http {{\n{own}", text, flags=re.MULTILINE), encoding="utf-8")
    rest = f"daemon off; pid {folder}/nginx.pid; error_log stderr; user root;"
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config), "-g", rest]
    with process(command, port, folder / "nginx.log"):
        yield port


@contextmanager
def haproxy(folder: Path, certificate: Certificate, port: int, proxied: int) -> Iterator[tuple[int, int]]:
    """HAProxy with the documented configuration: its port for HTTP, and the one that passes bytes on."""
    ports = free_port(), free_port()
    text = replaced(
        (EXAMPLES / "haproxy.cfg").read_text(encoding="utf-8"),
        ("server one 127.0.0.1:8000", f"server one 127.0.0.1:{port}"),
        ("server one 127.0.0.1:8001", f"server one 127.0.0.1:{proxied}"),
        ("bind :443 ssl", f"bind 127.0.0.1:{ports[0]} ssl"),
        ("bind :8443 ssl", f"bind 127.0.0.1:{ports[1]} ssl"),
        ("/etc/haproxy/mcp.example.org.pem", str(certificate.both)),
        ("timeout client 60s", f"timeout client {PATIENCE}s"),
        ("timeout server 60s", f"timeout server {PATIENCE}s"),
    )
    config = folder / "haproxy.cfg"
    config.write_text(text, encoding="utf-8")
    with process(["haproxy", "-db", "-f", str(config)], ports[0], folder / "haproxy.log"):
        yield ports


@contextmanager
def ways(folder: Path, certificate: Certificate, *options: str) -> Iterator[dict[str, Way]]:
    """A server, and all ways to it."""
    port, proxied, path = free_port(), free_port(), folder / "mcp.sock"
    config, notes, log = folder / "server.toml", folder / "notes", folder / "server.log"
    listen = [f"tcp:{port}:interface=127.0.0.1", f"haproxy:tcp:{proxied}:interface=127.0.0.1", f"unix:{path}:mode=660"]
    text = replaced(
        (EXAMPLES / "behind-a-proxy.toml").read_text(encoding="utf-8"),
        ('"tcp:8000:interface=127.0.0.1"', ", ".join(f'"{one}"' for one in listen)),
        ('"127.0.0.1"]\n', '"127.0.0.1", "unix"]\n'),
    )
    config.write_text(f'{text}\nplugins = ["{PLUGINS}"]\n[plugin.through]\nnotes = "{notes}"\n', encoding="utf-8")
    command = twist_mcpserve("--config", str(config), *options)
    with ExitStack() as stack:
        stack.enter_context(running(command, f"http://127.0.0.1:{port}/mcp", log))
        folders = [folder / name for name in WAYS]
        for one in folders:
            one.mkdir()
        plain = stack.enter_context(nginx(folders[0], certificate, f"127.0.0.1:{port}"))
        unix = stack.enter_context(nginx(folders[1], certificate, f"unix:{path}"))
        http, passed = stack.enter_context(haproxy(folders[2], certificate, port, proxied))
        found = dict(zip(WAYS, (plain, unix, http, passed), strict=True))
        yield {name: Way(port=port, notes=notes, log=log) for name, port in found.items()}


@pytest.fixture(scope="session")
def all_ways(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[dict[str, Way]]:
    """All ways to one server, whose keep-alive is well below the proxies' patience; 15 s to 60 s by default."""
    with ways(tmp_path_factory.mktemp("ways"), certificate, "--keep-alive", "0.5") as found:
        yield found


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, all_ways: dict[str, Way]) -> Way:
    """One way after the other."""
    return all_ways[request.param]
