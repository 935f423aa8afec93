"""Whether the process is alive, and whether to send it requests: for whoever starts it and shares its load out.

    /health/live     200 while it runs at all
    /health/ready    200 while it takes requests; 503 with the reasons before that, while it stops, or while something
                     that it needs does not work

Nobody is asked who he is, nor counted, nor what he calls us: who looks after processes uses their addresses. So a
reason is one word to strangers, and a sentence only where the operator looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson
from klein import Klein
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

from mcpserve.errors import Refusal
from mcpserve.web.endpoint import answer_error
from mcpserve.web.request import McpRequest
from mcpserve.web.routing import RoutedResource

LIVE, READY = "/health/live", "/health/ready"
_HEADERS = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


@attrs.define
class Health:
    """The two paths.

    Args:
        problems: Why no requests should come now: a sentence for each reason; empty when they should.
        details: What else the operator is told; None where everybody can look.
    """

    problems: Callable[[], Mapping[str, str]]
    details: Callable[[], Mapping[str, Any]] | None = None

    app = Klein()

    @app.route(LIVE, methods=["GET"])
    def live(self, request: McpRequest) -> Any:
        """Is it alive?"""
        self._answer(request, {})
        return NOT_DONE_YET

    @app.route(READY, methods=["GET"])
    def ready(self, request: McpRequest) -> Any:
        """Should requests come?"""
        self._answer(request, self.problems())
        return NOT_DONE_YET

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def refused(self, request: McpRequest, failure: object) -> Any:
        """Another method."""
        answer_error(request, Refusal(405, "Only GET is allowed here", {"Allow": "GET, HEAD"}))
        return NOT_DONE_YET

    def places(self) -> Mapping[bytes, RoutedResource]:
        """The resource of each path."""
        resource = RoutedResource(self.app)
        return {path.encode("ascii"): resource for path in (LIVE, READY)}

    def _answer(self, request: McpRequest, problems: Mapping[str, str]) -> None:
        shape: dict[str, Any] = {"status": "unavailable" if problems else "ok"}
        if problems:
            shape["reasons"] = list(problems) if self.details is None else dict(problems)
        if self.details is not None:
            shape |= self.details()
        request.answer(503 if problems else 200, _HEADERS, orjson.dumps(shape) + b"\n")
