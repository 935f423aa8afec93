"""The certificates of TLS endpoints: the chain is shown, and a reload takes what is new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from mcpserve.errors import ConfigurationError
from mcpserve.service.certificates import Certificate, renew
from mcpserve.service.listening import listen, parse

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # as Twisted does

PEM = serialization.Encoding.PEM


class Authority:
    """An authority of two steps, and what it writes for a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.chain = self.certificate("between", self.key)

    def certificate(self, name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
        """A certificate of a key."""
        now = datetime.now(UTC)
        built = x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=1),
        ).sign(self.key, hashes.SHA256())
        return built.public_bytes(PEM)

    def issue(self, name: str) -> None:
        """Write a key, its certificate, and both with the chain, as certbot does."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.certificate(name, key)
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "key.pem").write_bytes(private)
        (self.folder / "cert.pem").write_bytes(leaf)
        (self.folder / "chain.pem").write_bytes(self.chain)
        (self.folder / "fullchain.pem").write_bytes(leaf + self.chain)
        (self.folder / "all.pem").write_bytes(private + leaf + self.chain)

    def endpoint(self, files: str) -> str:
        """An endpoint string with these files."""
        return f"ssl:8443:{files.replace('=', f'={self.folder}/')}:interface=127.0.0.1"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """It has issued a certificate for `old`."""
    authority = Authority(tmp_path)
    authority.issue("old")
    return authority


def shown(context_factory: Any) -> list[str]:
    """The names in the certificates that one who connects is shown."""
    server = SSL.Connection(context_factory.getContext(), None)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    chain = client.get_peer_cert_chain(as_cryptography=True)
    assert chain is not None
    return [str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for certificate in chain]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ("privateKey=key.pem:certKey=cert.pem", ["old"]),
        ("privateKey=key.pem:certKey=cert.pem:extraCertChain=chain.pem", ["old", "between"]),
        ("privateKey=key.pem:certKey=fullchain.pem:extraCertChain=chain.pem", ["old", "between"]),
        ("privateKey=key.pem:certKey=fullchain.pem", ["old", "between"]),
        ("privateKey=all.pem", ["old", "between"]),
    ],
)
def test_what_is_shown(authority: Authority, files: str, names: list[str]) -> None:
    """The certificate, and the chain wherever it stands."""
    assert shown(Certificate(authority.endpoint(files))) == names


def test_a_renewal(authority: Authority, lines: list[str]) -> None:
    """New connections are shown the new one; the log says until when it is good, and nothing if nothing is new."""
    reactor: Any = MemoryReactor()
    certificates: list[Certificate] = []
    listen(reactor, authority.endpoint("privateKey=key.pem:certKey=fullchain.pem"), Factory(), certificates)
    ((port, _, context_factory, _, interface),) = reactor.sslServers
    assert (port, interface) == (8443, "127.0.0.1")
    renew(certificates)
    assert lines == []
    authority.issue("new")
    renew(certificates)
    assert shown(context_factory) == ["new", "between"]
    assert lines == [f"Certificate of ssl:8443 reloaded, good until {certificates[0].until}"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("key.pem", b"nonsense", "a file that it names does not hold a key or a certificate in PEM"),
        ("fullchain.pem", None, "No such file"),
        ("key.pem", "another", "Certificate public and private keys do not match"),
    ],
)
def test_what_is_wrong_with_a_renewal(
    authority: Authority, lines: list[str], name: str, content: bytes | str | None, problem: str
) -> None:
    """It is said, and the old one stays; at the start it is an error."""
    endpoint = authority.endpoint("privateKey=key.pem:certKey=fullchain.pem")
    certificate = Certificate(endpoint)
    path = authority.folder / name
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        kept = (authority.folder / "fullchain.pem").read_bytes()
        authority.issue(content)
        (authority.folder / "fullchain.pem").write_bytes(kept)
    renew([certificate])
    (line,) = lines
    assert line.startswith("Certificate of ssl:8443 not reloaded, the old one stays: ")
    assert problem in line
    assert shown(certificate) == ["old", "between"]
    with pytest.raises(ConfigurationError, match=problem):
        parse(MemoryReactor(), endpoint)


def test_behind_the_proxy_protocol(authority: Authority) -> None:
    """It is the same there."""
    reactor: Any = MemoryReactor()
    certificates: list[Certificate] = []
    listen(reactor, "haproxy:" + authority.endpoint("privateKey=all.pem"), Factory(), certificates)
    assert shown(reactor.sslServers[0][2]) == ["old", "between"]
    assert len(certificates) == 1
