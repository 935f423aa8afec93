"""Certificates of TLS endpoints: their files are read at the start, and anew at SIGHUP."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.ssl import Certificate as OneCertificate
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n.+?\r?\n-----END CERTIFICATE-----", re.DOTALL)
_PART = re.compile(r"(?<!\\):")


class _Catcher:
    """Stands where Twisted's endpoint wants a reactor, and keeps what it would have listened with."""

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **named: Any) -> None:
        self.caught = contextFactory


@implementer(IOpenSSLContextFactory)
class Certificate:
    """What an endpoint shows to those who connect: key, certificate and chain, from the files that it names.

    Connections take the newest that was read; those that there are keep theirs.

    Args:
        description: The endpoint string, which begins with `ssl:`.

    Raises:
        Exception: A file can't be read, is not what it should be, or the key is not that of the certificate.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._options = _read(description)

    def getContext(self) -> Any:
        """The context of one more connection."""
        return self._options.getContext()

    def renew(self) -> bool:
        """Read the files anew, and tell whether they hold another certificate.

        Raises:
            Exception: As above; what was read before stays.
        """
        old, self._options = self._options, _read(self._description)
        return bool(old.certificate.digest("sha256") != self._options.certificate.digest("sha256"))

    @property
    def until(self) -> str:
        """Until when it is good, as it is shown."""
        return f"{self._options.certificate.to_cryptography().not_valid_after_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def endpoint(self) -> str:
        """Kind and port, such as `ssl:8443`."""
        return ":".join(_PART.split(self._description)[:2])


def renew(certificates: Iterable[Certificate]) -> None:
    """Read all of them anew; what is wrong with one is logged, and leaves it as it is."""
    for certificate in certificates:
        try:
            changed = certificate.renew()
        except Exception as error:
            _log.error(
                "Certificate of {endpoint} not reloaded, the old one stays: {problem}",
                endpoint=certificate.endpoint,
                problem=said(error),
            )
        else:
            if changed:
                _log.info(
                    "Certificate of {endpoint} reloaded, good until {until}",
                    endpoint=certificate.endpoint,
                    until=certificate.until,
                )


def said(error: Exception) -> str:
    """What was wrong with an endpoint or its files, in words; those of OpenSSL are for its authors."""
    if isinstance(error, SSL.Error | crypto.Error):
        return "a file that it names does not hold a key or a certificate in PEM"
    return str(error)


def _read(description: str) -> Any:
    catcher = _Catcher()
    serverFromString(catcher, description).listen(None)
    options = catcher.caught
    if not options.extraCertChain:
        # what certbot and others write holds the chain, too; Twisted would show the first certificate alone
        options.extraCertChain = [OneCertificate.loadPEM(pem).original for pem in _PEM.findall(_file(description))[1:]]
    options.getContext()
    return options


def _file(description: str) -> bytes:
    """The file with the certificate."""
    named = dict(part.split("=", 1) for part in _PART.split(description)[2:] if "=" in part)
    path = named.get("certKey", named.get("privateKey", "server.pem"))
    return Path(re.sub(r"\\(.)", r"\1", path)).read_bytes()
