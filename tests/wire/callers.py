"""Callers that each request names itself, in headers, in the place of keys and tokens."""

from __future__ import annotations

from twisted.internet.task import Clock

from mcpserve.policy.callers import Caller
from mcpserve.web.request import McpRequest
from tests.wire.server import Headers


class Said:
    """Takes everybody's word for it. Implements `web.admission.Identity`."""

    def __init__(self, clock: Clock) -> None:
        """The clock does not matter."""

    def identify(self, request: McpRequest) -> Caller:
        """Who the headers say it is."""
        name, groups, scopes = (request.header(b"x-" + what) for what in (b"name", b"groups", b"scopes"))
        return Caller(
            name=None if name is None else name.decode(),
            groups=frozenset((groups or b"").decode().split()),
            scopes=frozenset((scopes or b"").decode().split()),
        )


def by(name: str | None, groups: str = "", scopes: str = "") -> Headers:
    """The headers of somebody with this name, these groups and these scopes."""
    return {"X-Name": name, "X-Groups": groups, "X-Scopes": scopes}
