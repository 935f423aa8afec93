"""May this Host, may this Origin? The defence against DNS rebinding, safe by default.

A page that an attacker serves can make a browser call a server on the reader's own machine, under a name of the
attacker's that resolves to 127.0.0.1. Such a request carries that name as its Host, and the page's Origin.

Spec: Streamable HTTP, Security: "Servers MUST validate the Origin header on all incoming connections to prevent DNS
rebinding attacks."
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from mcpserve.errors import Refusal

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
ANY = "*"
_REMEMBERED = 1024
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:@/\[\]]+)(:[0-9]{1,5})?")


class Origins:
    """Which hosts and origins are let in.

    Args:
        hosts: Names by which clients reach this server, with or without a port, beside the loopback names.
        origins: Origins of web pages that may call it, such as "https://app.example.org", beside loopback ones;
            "*" for all pages, where everybody has to say who he is in any case.
        any_address: Let in every host that is an IP address: rebinding needs a name. For servers that listen on all
            addresses and can't know by which of them they are reached.
    """

    def __init__(
        self, *, hosts: Collection[str] = (), origins: Collection[str] = (), any_address: bool = False
    ) -> None:
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._any_address = any_address
        # The same few values come again with every request; what was found good is not looked at twice.
        self._good: set[tuple[bytes | None, bytes | None]] = set()

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Let a request in, or not.

        Raises:
            Refusal: 421 for the host, 403 for the origin; the message names the value and the setting.
        """
        key = (host, origin)
        if key in self._good:
            return
        self._check_host((host or b"").decode("latin-1"))
        if origin is not None:
            self._check_origin(origin)
        if len(self._good) < _REMEMBERED:
            self._good.add(key)

    def allow(self, origin: bytes) -> bool:
        """Tell whether pages of this origin may call."""
        lowered = origin.decode("latin-1").lower()
        scheme, _, rest = lowered.partition("://")
        if lowered in self._origins or (scheme in ("http", "https") and _without_port(rest) in LOOPBACK_NAMES):
            return True
        return ANY in self._origins and scheme in ("http", "https")

    def names(self, origin: bytes) -> bool:
        """Tell whether pages of this origin may call because somebody has named it."""
        return origin.decode("latin-1").lower() in self._origins

    def _check_host(self, host: str) -> None:
        lowered = host.lower()
        name = _without_port(lowered)
        if lowered in self._hosts or name in self._hosts or (self._any_address and _is_address(name)):
            return
        raise Refusal(
            421, f"The Host {host[:128]!r} is not served here; if it is yours, add it with --allow-host (allow_hosts)"
        )

    def _check_origin(self, origin: bytes) -> None:
        if self.allow(origin):
            return
        raise Refusal(
            403,
            f"The Origin {origin[:128].decode('latin-1')!r} may not call this server; to allow it, use --allow-origin "
            "(allow_origins)",
        )


def _without_port(host: str) -> str:
    """The name or address of `host:port`; what has another form is nobody's name."""
    match = _HOST.fullmatch(host)
    return match[1] if match is not None else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
