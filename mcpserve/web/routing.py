"""Klein's routes without Klein's price.

What this file guarantees:

1. Routes are declared on a Klein app and nowhere else; Werkzeug is asked at construction which endpoint an exact
   method and path lead to, so that both ways agree by construction.
2. An exact match that takes the request over (`NOT_DONE_YET`) or returns text costs a look-up in a dictionary.
3. All else is Klein's: 404, 405, variable routes, redirects; and also the outcome of an exact match that is a
   Deferred, a coroutine, a failure, a resource or a template. It is handed to `KleinResource.render`, so error
   handlers work as they always do.
4. Paths of another resource are passed on to it, before Klein is asked; they cost nothing where there are none.
5. What no error handler of the app wants is answered in the words of the site; Werkzeug and Twisted would answer in
   HTML.

Klein itself does not know `NOT_DONE_YET` and would finish the request; here it does, on both ways (trap T5: Klein
cancels what an endpoint returned when the client is lost; who takes the request over decides on its own).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from mcpserve.web.request import McpRequest


def compile_routes(app: Klein) -> dict[tuple[bytes, bytes], str]:
    """Ask Werkzeug where each route without variables leads to.

    Args:
        app: The app with all its routes.

    Returns:
        The name of the endpoint for a method and a path. A route that does not name its methods is not in it.
    """
    adapter = app.url_map.bind("localhost")
    exact = {}
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            try:
                found, values = adapter.match(rule.rule, method, return_rule=True)
            except HTTPException:
                continue
            if not values:
                exact[method.encode("ascii"), rule.rule.encode("utf-8")] = found.endpoint
    return exact


class _Outcome:
    """Stands in for the app while Klein processes what an endpoint that was called already has come to."""

    def __init__(self, app: Klein, outcome: Deferred[Any] | None) -> None:
        self._app = app
        self._outcome = outcome
        self.url_map: Map = app.url_map
        self.endpoints = app.endpoints
        self._error_handlers = [*app._error_handlers, ([HTTPException], _refuse)]

    def execute_endpoint(self, endpoint: str, request: McpRequest, **values: Any) -> Deferred[Any]:
        """Return the outcome, or else call the endpoint; either way Klein gets to see only what it knows."""
        call: Any = self._app.execute_endpoint
        outcome = self._outcome or maybeDeferred(call, endpoint, request, **values)
        return outcome.addCallback(_taken_over, request)

    def execute_error_handler(self, handler: Any, request: McpRequest, failure: Failure) -> Deferred[Any]:
        """Call an error handler of the app, which may take the request over as well."""
        call: Any = self._app.execute_error_handler
        return maybeDeferred(call, handler, request, failure).addCallback(_taken_over, request)


def _taken_over(result: object, request: McpRequest) -> object:
    if result is not NOT_DONE_YET:
        return result
    # The loss of the client is the business of whoever took the request over, and no error to be logged.
    return request.notifyFinish().addErrback(lambda _: None)


def _refuse(instance: object, request: McpRequest, failure: Failure) -> None:
    """The last error handler: what Werkzeug raised, in the words of the site."""
    problem: Any = failure.value
    response = problem.get_response({})
    kept = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in response.headers if n in ("Allow", "Location")]
    request.refuse(response.status_code, problem.name + ".", kept)


def _is_text(path: bytes) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_KleinResource: Any = KleinResource  # its `render` has no type that a subclass could keep


class RoutedResource(_KleinResource):  # type: ignore[misc]
    """The resource of a Klein app, with a short way for exact routes.

    Args:
        app: The app; routes that are added to it later are found by Klein, but not by the short way.
        short_way: Whether there is one; without it Klein does everything, to the same effect.
        others: Resources by path, for paths that are not the app's.
        preflight: Answers an OPTIONS request that a browser sends on its own, on all paths; False if it is none.
    """

    def __init__(
        self,
        app: Klein,
        short_way: bool = True,
        others: Mapping[bytes, RoutedResource] = MappingProxyType({}),
        preflight: Callable[[McpRequest], bool] | None = None,
    ) -> None:
        super().__init__(app)
        self._klein = app
        self._others = others
        self._preflight = preflight
        self._exact = compile_routes(app) if short_way else {}

    def render(self, request: McpRequest) -> object:
        """Call the endpoint of an exact route, or leave the request to Klein.

        Args:
            request: The request.

        Returns:
            NOT_DONE_YET.
        """
        endpoint = self._exact.get((request.method, request.path))
        if endpoint is None:
            if request.method == b"OPTIONS" and self._preflight is not None and self._preflight(request):
                return NOT_DONE_YET
            other = self._others.get(request.path)
            if other is not None:
                return other.render(request)
            if not _is_text(request.path):
                # No route has such a path. Klein would write a traceback into the log for each request of a stranger.
                request.refuse(http.NOT_FOUND, "Not Found.")
                return NOT_DONE_YET
            return self._render_with_klein(request, None)
        try:
            outcome: Any = self._klein.execute_endpoint(endpoint, request)
        except Exception:
            return self._render_with_klein(request, fail())
        if outcome is NOT_DONE_YET:
            return outcome
        if isinstance(outcome, str):
            outcome = outcome.encode("utf-8")
        if isinstance(outcome, bytes):
            request.answer_bytes(outcome)
            return NOT_DONE_YET
        return self._render_with_klein(request, outcome if isinstance(outcome, Deferred) else succeed(outcome))

    def _render_with_klein(self, request: McpRequest, outcome: Deferred[Any] | None) -> object:
        return _KleinResource(_Outcome(self._klein, outcome)).render(request)
