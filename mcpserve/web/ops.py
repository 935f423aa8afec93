"""What only the operator gets to see, on a port of its own: metrics, and health with details.

Nobody is asked who he is: whoever reaches the port may read. Pages in browsers may not, by whatever name they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from mcpserve.errors import ProtocolError, Refusal
from mcpserve.policy.origins import Origins
from mcpserve.web.endpoint import answer_error
from mcpserve.web.facts import joined
from mcpserve.web.health import LIVE, READY
from mcpserve.web.request import McpRequest

METRICS = "/metrics"


@attrs.define
class OpsPages:
    """The page of the metrics.

    Args:
        origins: Which Host is ours.
        metrics: Gives the type of the metrics and the metrics, for an Accept header.
    """

    origins: Origins
    metrics: Callable[[str], tuple[str, bytes]]

    app = Klein()

    @app.route(METRICS, methods=["GET"])
    def read(self, request: McpRequest) -> Any:
        """The metrics, as they are now."""
        try:
            self.origins.check(request.header(b"host"), request.header(b"origin"))
        except ProtocolError as error:
            answer_error(request, error)
        else:
            kind, text = self.metrics((joined(request, b"accept") or b"").decode("latin-1"))
            request.answer(200, ((b"Content-Type", kind.encode("ascii")),), text)
        return NOT_DONE_YET

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def refused(self, request: McpRequest, failure: Failure) -> Any:
        """Another path, or another method."""
        if isinstance(failure.value, MethodNotAllowed):
            answer_error(request, Refusal(405, "Only GET is allowed here", {"Allow": "GET, HEAD"}))
        else:
            answer_error(request, Refusal(404, f"There are {METRICS}, {LIVE} and {READY} here"))
        return NOT_DONE_YET
