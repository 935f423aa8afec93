"""What a browser has to be told so that a page may read our answers.

Whether a page may call this server at all is decided by `policy.origins`; a page that may is also told so, on every
answer: results, errors, streams, and what the HTTP layer refuses on its own. A preflight asks for no credentials and is
no request that counts.

Spec: Fetch, HTTP-network-or-cache fetch, CORS protocol.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpserve.errors import ProtocolError
from mcpserve.policy.origins import Origins
from mcpserve.web.request import McpRequest
from mcpserve.web.sending import HeaderList

METHODS = b"DELETE, GET, POST"
READABLE = b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After"
"""Response headers that a page may read, beside those that it always may."""

_HEADERS = (
    "Accept", "Authorization", "Content-Type", "Last-Event-ID", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name",
    "Mcp-Session-Id", "X-API-Key", "traceparent", "tracestate", "baggage",
)  # fmt: skip
_MAX_AGE = b"7200"
_REMEMBERED = 256
_MOST_NAMES = 64

Refuse = Callable[[McpRequest, ProtocolError], object]


class Cors:
    """Tells browsers what pages may do.

    Args:
        origins: Which pages may.
        check: Raises ProtocolError if a request may not come near, for its Host or its Origin.
        refuse: Answers with what was raised.
        credentials: Whether pages may have the browser send cookies and the like along; for proxies that want them.
            Those of origins that somebody has named: what listens on the loopback of a reader's machine is not ours.
    """

    def __init__(
        self,
        origins: Origins,
        check: Callable[[McpRequest], object],
        refuse: Refuse,
        credentials: bool = False,
    ) -> None:
        self._origins = origins
        self._check = check
        self._refuse = refuse
        self._credentials = ((b"Access-Control-Allow-Credentials", b"true"),) if credentials else ()
        self._known: dict[bytes, HeaderList] = {}

    def headers(self, origin: bytes) -> HeaderList:
        """The headers of an answer to a page of this origin; none if it may not read it."""
        known = self._known.get(origin)
        if known is None:
            known = self._headers(origin)
            if len(self._known) < _REMEMBERED:
                self._known[origin] = known
        return known

    def preflight(self, request: McpRequest) -> bool:
        """Answer a preflight.

        Args:
            request: An OPTIONS request.

        Returns:
            False if it is none; then it is not answered.
        """
        origin, method = request.header(b"origin"), request.header(b"access-control-request-method")
        if origin is None or method is None:
            return False
        try:
            self._check(request)
        except ProtocolError as error:
            self._refuse(request, error)
            return True
        asked = request.header(b"access-control-request-headers") or b""
        headers = [
            (b"Access-Control-Allow-Methods", METHODS),
            (b"Access-Control-Allow-Headers", _allowed(asked)),
            (b"Access-Control-Max-Age", _MAX_AGE),
        ]
        request.answer(204, headers, b"")
        return True

    def _headers(self, origin: bytes) -> HeaderList:
        if not self._origins.allow(origin):
            return ((b"Vary", b"Origin"),)
        return (
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Expose-Headers", READABLE),
            *(self._credentials if self._origins.names(origin) else ()),
            (b"Vary", b"Origin"),
        )


def _allowed(asked: bytes) -> bytes:
    """What a page may send: what we read, and the headers that mirror arguments, which have many names."""
    names = [name.strip().lower() for name in asked.decode("latin-1").split(",")[:_MOST_NAMES]]
    known = {name.lower() for name in _HEADERS}
    mirrored = [name for name in names if name.startswith("mcp-") and name not in known]
    return ", ".join([*_HEADERS, *mirrored]).encode("latin-1")
