"""Listening: from an endpoint description to a port whose connections notice a peer that vanished."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from functools import cache
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from mcpserve.errors import ConfigurationError
from mcpserve.service.certificates import Certificate, said

BACKLOG = 1024
"""Connections that may wait to be accepted; Twisted's 50 makes a burst of clients wait for seconds."""

PROXY = "haproxy:"
"""Before an endpoint description: whoever connects begins with a line of the PROXY protocol."""

SYSTEMD = "systemd"
"""The kind of an endpoint whose socket systemd holds, and passes to us."""

VANISHED = 20
"""Seconds after which a peer that answers nothing is given up."""


class _WithCertificate:
    """A reactor that listens for TLS with a certificate of ours, in place of the one that Twisted has read.

    Args:
        reactor: What listens.
        certificate: Is shown to those who connect.
    """

    def __init__(self, reactor: Any, certificate: Certificate) -> None:
        self._reactor = reactor
        self._certificate = certificate

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **named: Any) -> IListeningPort:
        listening: IListeningPort = self._reactor.listenSSL(port, factory, contextFactory=self._certificate, **named)
        return listening


def listen(
    reactor: Any, description: str, factory: IProtocolFactory, certificates: list[Certificate] | None = None
) -> Deferred[IListeningPort]:
    """Listen on an endpoint.

    Args:
        reactor: What listens.
        description: A Twisted server endpoint string.
        factory: What serves the connections.
        certificates: Gets the certificate of the endpoint, if it has one.

    Fires: with the port; at once for the endpoints that Twisted ships.

    Raises:
        ConfigurationError: The description is no endpoint. The Deferred fails with it if the endpoint can't be used.
    """
    listening: Deferred[IListeningPort] = parse(reactor, description, certificates).listen(factory)
    return listening.addCallbacks(_watched, lambda failure: _explain(failure.value, description))


def parse(reactor: Any, description: str, certificates: list[Certificate] | None = None) -> IStreamServerEndpoint:
    """Read an endpoint description, and the certificates it names, without listening.

    Args:
        reactor: What is to listen.
        description: A Twisted server endpoint string.
        certificates: Gets the certificate of the endpoint, if it has one.

    Raises:
        ConfigurationError: It is no endpoint, or a file in it can't be read.
    """
    try:
        if description.removeprefix(PROXY).startswith("ssl:"):
            certificate = Certificate(description.removeprefix(PROXY))
            reactor = _WithCertificate(reactor, certificate)
            if certificates is not None:
                certificates.append(certificate)
        endpoint: IStreamServerEndpoint = serverFromString(reactor, _with_backlog(description))
    except LookupError as error:
        # Twisted's message would be that of a list or a dictionary
        what = f"listen: {description!r}: systemd has passed no such socket to this process"
        raise ConfigurationError(what) from error
    except Exception as error:
        raise ConfigurationError(f"listen: {description!r} is not an endpoint: {said(error)}") from error
    return endpoint


def on_loopback(description: str) -> bool:
    """Tell whether only this machine can reach an endpoint: a UNIX socket, or a loopback interface."""
    kind, *parts = re.split(r"(?<!\\):", description.removeprefix(PROXY))
    if kind == "unix":
        return True
    if kind == SYSTEMD:
        return _passed_on_loopback(description.removeprefix(PROXY))
    interfaces = [part.removeprefix("interface=") for part in parts if part.startswith("interface=")]
    return kind in ("tcp", "tcp4", "tcp6", "ssl") and any(map(_is_loopback, interfaces))


def is_proxied(description: str) -> bool:
    """Tell whether an endpoint takes the PROXY protocol."""
    return description.startswith(PROXY)


@cache
def _passed_on_loopback(description: str) -> bool:
    """Look at the socket that systemd has passed. Asked for again after it was taken over, it is what it was."""
    try:
        endpoint: Any = serverFromString(None, description)
        with socket.socket(fileno=os.dup(endpoint.fileno)) as passed:
            local = passed.family == socket.AF_UNIX or _is_loopback(passed.getsockname()[0])
    except (LookupError, ValueError, TypeError, OSError):
        return False  # it can't be listened on either, and that is said elsewhere
    return local


def _is_loopback(interface: str) -> bool:
    name = interface.replace("\\", "")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _with_backlog(description: str) -> str:
    kind = description.removeprefix(PROXY).partition(":")[0]
    if kind in ("tcp", "tcp4", "tcp6", "ssl", "unix") and "backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


def _watched(port: IListeningPort) -> IListeningPort:
    """Accepted sockets inherit these. Keep-alive probes find a peer that is gone while nothing is sent, the user
    timeout one that does not acknowledge what is sent; either alone misses the other case."""
    listener = getattr(port, "socket", None)
    if isinstance(listener, socket.socket) and listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", VANISHED),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", VANISHED * 1000),
        ):
            if hasattr(socket, name):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return port


def _explain(error: BaseException | None, description: str) -> IListeningPort:
    reason = error.socketError if isinstance(error, CannotListenError) else error
    text = getattr(reason, "strerror", None) or str(reason)
    raise ConfigurationError(f"can't listen on {description}: {text}")
