"""Who is it really, and what did they ask for? What the proxies in front of us say, where they are to be trusted.

    the connection comes from     what counts
    somebody                      the connection's own address, Host; headers about others are not looked at
    a trusted proxy               what it says in X-Forwarded-For, -Host, -Proto, or in Forwarded

The addresses are read from right to left: the right one was written by the proxy that connected to us. While it is one
of a trusted proxy, the one to its left was written by that proxy. The first that is not is the client, and whatever
stands further left it may have made up.

A proxy writes one of the two kinds of header, and passes the other one on as it came. So if both are there, they must
say the same of the client and of the Host, or one of them is a forgery.

Spec: RFC 7239.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence

import attrs

from mcpserve.errors import ConfigurationError, Refusal

UNIX = "unix"
"""Stands for whoever connects to a UNIX socket."""

_REMEMBERED = 4096
MOST_HOPS = 32
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)\s*')

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_groups: dict[str, str] = {}


@attrs.frozen(kw_only=True)
class Seen:
    """Where a request came from and what it was for, as far as it can be believed.

    Args:
        address: The address of the client; None if it is not known.
        host: The Host that the client asked for, with its port if it named one.
        scheme: "http" or "https"; None if nobody that is to be believed says so.
        proxied: Whether a trusted proxy stands in between.
    """

    address: str | None
    host: bytes | None
    scheme: str | None = None
    proxied: bool = False


@attrs.frozen(kw_only=True)
class Forwarding:
    """The headers by which proxies tell of their clients; each is the list of all its lines, or None.

    Args:
        forwarded: `Forwarded`.
        x_for: `X-Forwarded-For`.
        x_host: `X-Forwarded-Host`.
        x_proto: `X-Forwarded-Proto`.
    """

    forwarded: bytes | None = None
    x_for: bytes | None = None
    x_host: bytes | None = None
    x_proto: bytes | None = None


@attrs.frozen
class _Hop:
    """What one proxy has said of the one before it."""

    address: str | None
    host: str | None = None
    scheme: str | None = None


class Proxies:
    """The proxies that are trusted.

    Args:
        trusted: Addresses and networks, such as "10.0.0.0/8", and "unix" for who comes by a UNIX socket.

    Raises:
        ConfigurationError: One is neither.
    """

    def __init__(self, trusted: Collection[str] = ()) -> None:
        self._unix = UNIX in trusted
        self._networks = [_network(one) for one in trusted if one != UNIX]
        self._known: dict[str, bool] = {}
        self._seen: dict[tuple[str | None, bytes | None, Forwarding], Seen] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trust(self, address: str | None) -> bool:
        """Tell whether a connection comes from a trusted proxy; an address of None is that of a UNIX socket."""
        if address is None:
            return self._unix
        known = self._known.get(address)
        if known is None:
            known = self._within(address)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[address] = known
        return known

    def see(self, peer: str | None, host: bytes | None, said: Forwarding) -> Seen:
        """Find out where a request came from.

        Args:
            peer: The address of the connection, that of a trusted proxy; None for a UNIX socket.
            host: The Host header.
            said: What the proxy said.

        Raises:
            Refusal: 400, nobody can tell what it said.
        """
        key = (peer, host, said)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._look(peer, host, said)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[key] = seen
        return seen

    def _look(self, peer: str | None, host: bytes | None, said: Forwarding) -> Seen:
        own, other = _from_x(said), _from_forwarded(said)
        address, hop = self._client(other, peer)
        asked, scheme = (hop.host, hop.scheme) if hop is not None else (None, None)
        if own and other:
            if self._client(own, peer)[0] != address:
                raise _disputed("clients")
            _check_host(host, asked, _nearest(said.x_host))
        elif not other:
            # with Forwarded, X-Forwarded-Host and -Proto are nothing that the proxy has written
            address, asked, scheme = self._client(own, peer)[0], _nearest(said.x_host), _nearest(said.x_proto)
        return Seen(
            address=address,
            host=host if asked is None else asked.encode("latin-1"),
            scheme=scheme.lower() if scheme is not None and scheme.lower() in ("http", "https") else None,
            proxied=True,
        )

    def _client(self, hops: Sequence[_Hop], peer: str | None) -> tuple[str | None, _Hop | None]:
        """The client, and what the outermost trusted proxy said of it."""
        address, found = peer, None
        for hop in reversed(hops):
            found = hop
            if hop.address is None:
                # "unknown" or a name that the proxy made up: all that is known is that it is behind this proxy
                break
            address = hop.address
            if not self.trust(address):
                break
        return address, found

    def _within(self, address: str) -> bool:
        try:
            found = _address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def group(address: str | None) -> str:
    """What counts as one party of an address: IPv4 as it is, IPv6 by its /64, as one subscriber has all of that."""
    if address is None:
        return "a UNIX socket"
    known = _groups.get(address)
    if known is None:
        known = _group(address)
        if len(_groups) >= _REMEMBERED:
            _groups.clear()
        _groups[address] = known
    return known


def normal(text: str) -> str | None:
    """An IP address in its usual form, of a text with or without brackets and port; None if it is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(_address(bare))
    except ValueError:
        return None


def _group(address: str) -> str:
    try:
        found = _address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigurationError(
            f"trusted_proxies: {text!r} is neither an address nor a network such as 10.0.0.0/8, nor unix: {error}"
        ) from error


def _items(value: bytes) -> list[str]:
    items = [item.strip() for item in value.decode("latin-1").split(",")]
    return _few([item for item in items if item])


def _few(items: list[str]) -> list[str]:
    if len(items) > MOST_HOPS:
        raise Refusal(400, f"The request says that it came through {len(items)} proxies; {MOST_HOPS} are believed")
    return items


def _from_x(said: Forwarding) -> list[_Hop]:
    if said.x_for is None:
        return []
    addresses = _items(said.x_for)
    return [_Hop(normal(one)) for one in addresses]


def _nearest(value: bytes | None) -> str | None:
    """Of X-Forwarded-Host and -Proto what the nearest proxy has written: nobody says which is of which hop."""
    items = [] if value is None else _items(value)
    return items[-1] if items else None


def _check_host(host: bytes | None, forwarded: str | None, x_host: str | None) -> None:
    """See that nobody can tell us another Host in the kind of header that the proxy does not write.

    Raises:
        Refusal: 400; one that is not what the connection says stands in one of them alone.
    """
    names = {None if host is None else host.decode("latin-1"), forwarded, x_host} - {None}
    if forwarded != x_host and len(names) > 1:
        raise _disputed("Hosts")


def _disputed(what: str) -> Refusal:
    return Refusal(
        400,
        f"X-Forwarded-* and Forwarded name two different {what}; the proxy must remove those that it does not write",
    )


def _from_forwarded(said: Forwarding) -> list[_Hop]:
    return [] if said.forwarded is None else [_hop(element) for element in _elements(said.forwarded.decode("latin-1"))]


def _elements(value: str) -> list[dict[str, str]]:
    """RFC 7239, 4: elements with commas between them, of pairs with semicolons between them."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is None:
            raise Refusal(400, "The Forwarded header is not well-formed (RFC 7239)")
        text = match[2]
        elements[-1][match[1].lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' else text
        position = match.end()
        if position < len(value):
            if value[position] == ",":
                elements.append({})
            elif value[position] != ";":
                raise Refusal(400, "The Forwarded header is not well-formed (RFC 7239)")
            position += 1
    if len(elements) > MOST_HOPS:
        raise Refusal(400, f"The request says that it came through {len(elements)} proxies; {MOST_HOPS} are believed")
    return elements


def _hop(element: dict[str, str]) -> _Hop:
    return _Hop(normal(element.get("for", "")), element.get("host"), element.get("proto"))
