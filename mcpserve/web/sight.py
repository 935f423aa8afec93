"""Where a request came from: the connection, or what a trusted proxy says of it. Decided by `policy.proxies`."""

from __future__ import annotations

from mcpserve.policy.proxies import Forwarding, Proxies, Seen
from mcpserve.web.facts import joined
from mcpserve.web.request import McpRequest

_FORWARDING = (b"x-forwarded-for", b"forwarded", b"x-forwarded-host", b"x-forwarded-proto")


class Sight:
    """Sees where requests came from.

    Args:
        proxies: Whom to believe.
    """

    def __init__(self, proxies: Proxies | None = None) -> None:
        self.proxies = proxies or Proxies()

    def see(self, request: McpRequest) -> Seen:
        """Find out where a request came from.

        Raises:
            Refusal: 400, a trusted proxy says something that nobody understands.
        """
        channel, host = request.channel, request.fields.get(b"host")
        if channel is not None and channel.seen is not None and channel.seen.host == host:
            # most connections are of one client, who asks for one Host
            return channel.seen
        # the address of a UNIX socket has no host
        peer: str | None = getattr(request.client, "host", None)
        if self.proxies and self.proxies.trust(peer):
            said = Forwarding(
                forwarded=joined(request, b"forwarded"),
                x_for=joined(request, b"x-forwarded-for"),
                x_host=joined(request, b"x-forwarded-host"),
                x_proto=joined(request, b"x-forwarded-proto"),
            )
            return self.proxies.see(peer, host, said)
        seen = Seen(address=peer, host=host, scheme="https" if request.secure else "http")
        if channel is not None:
            channel.seen = seen
        return seen


def ignored(request: McpRequest, seen: Seen) -> str:
    """A half sentence for refusals, if a proxy that is not trusted spoke of another client or Host."""
    if seen.proxied or not any(name in request.fields for name in _FORWARDING):
        return ""
    who = "a UNIX socket (unix)" if seen.address is None else seen.address
    return f"; X-Forwarded-* and Forwarded count only from trusted_proxies, and this came from {who}"
