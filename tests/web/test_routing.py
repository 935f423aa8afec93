"""Routes: the short way and Klein's way come to the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import capturedLogs
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import Forbidden, HTTPException

from mcpserve.web.request import McpRequest
from mcpserve.web.routing import RoutedResource, compile_routes
from tests.web.memory_http import JSON, Wire, body, status

both_ways = pytest.mark.parametrize("short_way", [True, False])


class Oops(Exception):
    """A failure that the app has an error handler for."""


class Leaf(Resource):
    """A resource that a route hands over to."""

    isLeaf = True

    def render_GET(self, request: McpRequest) -> bytes:
        """Render."""
        return b"leaf"


class Routes:
    """One of each kind."""

    app = Klein()

    def __init__(self) -> None:
        self.waiting: Deferred[Any] = Deferred()
        self.taken: list[McpRequest] = []

    @app.route("/taken", methods=["GET", "POST"])
    def take(self, request: McpRequest) -> Any:
        """Take the request over."""
        self.taken.append(request)
        return NOT_DONE_YET

    @app.route("/taken/<name>", methods=["GET"])
    def take_variable(self, request: McpRequest, name: str) -> Any:
        """Take a request over that has a variable in its path."""
        return self.take(request)

    @app.route("/bytes", methods=["GET"])
    def give_bytes(self, request: McpRequest) -> bytes:
        """Return bytes."""
        return b"bytes"

    @app.route("/text", methods=["GET"])
    def give_text(self, request: McpRequest) -> str:
        """Return text."""
        request.setHeader("x-set", "yes")
        return "\N{SNOWMAN}"

    @app.route("/none", methods=["GET"])
    def give_none(self, request: McpRequest) -> None:
        """Return nothing."""

    @app.route("/resource", methods=["GET"])
    def give_resource(self, request: McpRequest) -> Leaf:
        """Return a resource."""
        return Leaf()

    @app.route("/fired", methods=["GET"])
    def give_fired(self, request: McpRequest) -> Deferred[bytes]:
        """Return a Deferred that has fired."""
        return succeed(b"fired")

    @app.route("/waiting", methods=["GET"])
    def give_waiting(self, request: McpRequest) -> Deferred[Any]:
        """Return a Deferred that has not fired."""
        return self.waiting

    @app.route("/coroutine", methods=["GET"])
    async def give_coroutine(self, request: McpRequest) -> Any:
        """Be a coroutine."""
        return await self.waiting

    @app.route("/oops", methods=["GET"])
    def fail_known(self, request: McpRequest) -> None:
        """Fail with what the app handles."""
        raise Oops

    @app.route("/oops-later", methods=["GET"])
    async def fail_later(self, request: McpRequest) -> None:
        """Fail in a coroutine with what the app handles."""
        await self.waiting
        raise Oops

    @app.route("/forbidden", methods=["GET"])
    def fail_http(self, request: McpRequest) -> None:
        """Fail with what nobody but Werkzeug knows."""
        raise Forbidden

    @app.route("/bug", methods=["GET"])
    def fail_unknown(self, request: McpRequest) -> None:
        """Fail with what nobody knows."""
        raise ZeroDivisionError("secret")

    @app.route("/any")
    def give_any(self, request: McpRequest) -> bytes:
        """Take all methods."""
        return b"any " + bytes(request.method)

    @app.route("/hello/<name>", methods=["GET"])
    def give_variable(self, request: McpRequest, name: str) -> str:
        """Have a variable in the path."""
        return f"hello {name}"

    @app.route("/slash/", methods=["GET"])
    def give_slash(self, request: McpRequest) -> bytes:
        """End with a slash."""
        return b"slash"

    @app.route("/default/", methods=["GET"], defaults={"page": 1})
    @app.route("/default/<int:page>", methods=["GET"])
    def give_default(self, request: McpRequest, page: int) -> str:
        """Have a default."""
        return f"page {page}"

    @app.handle_errors(Oops)
    def handle_oops(self, request: McpRequest, failure: Any) -> Any:
        """Answer in the words of the app."""
        request.answer(418, JSON, b"handled")
        return NOT_DONE_YET


def wire_of(short_way: bool) -> tuple[Wire, Routes]:
    """A connection to the routes."""
    routes = Routes()
    return Wire(resource=RoutedResource(routes.app, short_way)), routes


def ask(wire: Wire, path: bytes, method: bytes = b"GET") -> bytes:
    """Send a request; return what comes back."""
    return wire.receive(b"%b %b HTTP/1.1\r\nHost: localhost:8080\r\n\r\n" % (method, path))


def content(answer: bytes) -> bytes:
    """The body of an answer, whether it has a length or is one chunk."""
    text = body(answer)
    if b"chunked" not in answer:
        return text
    return b"".join(text.split(b"\r\n")[1:2]) if text != b"0\r\n\r\n" else b""


@both_ways
@pytest.mark.parametrize(
    ("method", "path", "expected", "text"),
    [
        (b"GET", b"/bytes", 200, b"bytes"),
        (b"GET", b"/bytes?a=b", 200, b"bytes"),
        (b"GET", b"/%62ytes", 200, b"bytes"),
        (b"HEAD", b"/bytes", 200, b""),
        (b"GET", b"/text", 200, b"\xe2\x98\x83"),
        (b"GET", b"/none", 200, b""),
        (b"GET", b"/resource", 200, b"leaf"),
        (b"GET", b"/fired", 200, b"fired"),
        (b"GET", b"/oops", 418, b"handled"),
        (b"GET", b"/any", 200, b"any GET"),
        (b"PATCH", b"/any", 200, b"any PATCH"),
        (b"GET", b"/hello/you", 200, b"hello you"),
        (b"GET", b"/slash/", 200, b"slash"),
        (b"GET", b"/default/", 200, b"page 1"),
        (b"GET", b"/default/2", 200, b"page 2"),
        (b"GET", b"/forbidden", 403, b'{"refused": 403, "why": "Forbidden."}'),
        (b"GET", b"/nowhere", 404, b'{"refused": 404, "why": "Not Found."}'),
        (b"POST", b"/bytes", 405, b'{"refused": 405, "why": "Method Not Allowed."}'),
        (b"GET", b"/slash", 308, b'{"refused": 308, "why": "Permanent Redirect."}'),
        (b"BREW", b"/bytes", 405, b'{"refused": 405, "why": "Method Not Allowed."}'),
    ],
)
def test_both_ways_come_to_the_same(short_way: bool, method: bytes, path: bytes, expected: int, text: bytes) -> None:
    """Status and body, and never HTML."""
    wire, _ = wire_of(short_way)
    answer = ask(wire, path, method)
    assert status(answer) == expected
    assert content(answer) == text
    assert b"html" not in answer.lower()
    assert wire.transport.ended == []


@both_ways
def test_what_was_set_is_sent(short_way: bool) -> None:
    """Headers that a route set on the request."""
    assert b"X-Set: yes\r\n" in ask(wire_of(short_way)[0], b"/text")


def test_a_refused_method_says_which_are_allowed() -> None:
    """RFC 9110, 15.5.6: a 405 has an Allow header."""
    answer = ask(wire_of(True)[0], b"/taken", b"DELETE")
    allow = next(line for line in answer.split(b"\r\n") if line.startswith(b"Allow: "))
    assert set(allow[7:].split(b", ")) == {b"GET", b"HEAD", b"POST"}


def test_a_redirect_says_where_to() -> None:
    """The Location that Werkzeug made."""
    assert b"Location: http://localhost:12345/slash/\r\n" in ask(wire_of(True)[0], b"/slash")


@both_ways
@pytest.mark.parametrize("path", [b"/taken", b"/t%61ken", b"/taken/variable"])
def test_a_request_can_be_taken_over(short_way: bool, path: bytes) -> None:
    """Klein alone would finish it when a route returns NOT_DONE_YET."""
    wire, routes = wire_of(short_way)
    assert ask(wire, path) == b""
    routes.taken[0].answer(200, JSON, b"later")
    assert body(wire.transport.value()) == b"later"
    assert ask(wire, b"/bytes").startswith(b"HTTP/1.1 200")


@both_ways
@pytest.mark.parametrize("path", [b"/taken", b"/taken/variable"])
def test_the_loss_of_a_client_is_no_error_of_a_request_that_was_taken_over(short_way: bool, path: bytes) -> None:
    """Whoever took it over watches it; nothing is logged."""
    wire, routes = wire_of(short_way)
    ask(wire, path)
    with capturedLogs() as logged:
        wire.transport.lose()
    assert routes.taken[0].lost
    assert logged == []


@both_ways
@pytest.mark.parametrize("path", [b"/waiting", b"/coroutine"])
@pytest.mark.parametrize("result", [b"late", "late"])
def test_a_route_can_take_its_time(short_way: bool, path: bytes, result: object) -> None:
    """A Deferred, or a coroutine, is waited for."""
    wire, routes = wire_of(short_way)
    assert ask(wire, path) == b""
    routes.waiting.callback(result)
    assert content(wire.transport.value()) == b"late"


@both_ways
def test_a_coroutine_can_take_a_request_over(short_way: bool) -> None:
    """NOT_DONE_YET counts as well when it comes late."""
    wire, routes = wire_of(short_way)
    ask(wire, b"/coroutine")
    routes.waiting.callback(NOT_DONE_YET)
    assert wire.transport.writes == []
    wire.transport.lose()


@both_ways
def test_a_route_that_fails_late_is_handled_alike(short_way: bool) -> None:
    """By the app's error handler."""
    wire, routes = wire_of(short_way)
    ask(wire, b"/oops-later")
    routes.waiting.callback(None)
    assert status(wire.transport.value()) == 418


@both_ways
def test_what_a_route_waits_for_is_cancelled_with_the_client(short_way: bool) -> None:
    """As Klein does (T5)."""
    wire, routes = wire_of(short_way)
    seen: list[object] = []
    routes.waiting.addErrback(lambda failure: seen.append(failure.type))
    ask(wire, b"/waiting")
    wire.transport.lose()
    assert seen == [CancelledError]


@both_ways
def test_a_bug_is_an_internal_error(short_way: bool, flush_logged_errors: Callable[..., Any]) -> None:
    """Logged, and answered without its text."""
    answer = ask(wire_of(short_way)[0], b"/bug")
    assert status(answer) == 500
    assert body(answer) == b'{"refused": 500, "why": "Internal error."}'
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


@both_ways
def test_a_path_that_is_not_utf_8_is_nowhere(short_way: bool) -> None:
    """As any other path without a route; Klein would log a failure for each such request, which a stranger can send."""
    with capturedLogs() as events:
        answer = ask(wire_of(short_way)[0], b"/%ff")
    assert status(answer) == 404
    assert content(answer) == b'{"refused": 404, "why": "Not Found."}'
    assert events == []


def test_exact_routes_are_compiled() -> None:
    """Those without variables and defaults that name their methods; the rest is Klein's."""
    exact = compile_routes(Routes().app)
    assert exact[b"POST", b"/taken"] == "take"
    assert exact[b"HEAD", b"/bytes"] == "give_bytes"
    assert {path for _, path in exact if path.startswith((b"/any", b"/hello", b"/default"))} == set()


def test_an_error_handler_may_wait() -> None:
    """It takes the request over like any other endpoint."""
    app = Klein()
    failed: list[McpRequest] = []

    @app.handle_errors(HTTPException)
    def later(request: McpRequest, failure: Any) -> Any:
        failed.append(request)
        return NOT_DONE_YET

    wire = Wire(resource=RoutedResource(app))
    assert ask(wire, b"/nowhere") == b""
    failed[0].answer(404, JSON, b"later")
    assert body(wire.transport.value()) == b"later"


def test_routes_leave_no_garbage() -> None:
    """A request of the short way is freed without the collector."""
    wire, _ = wire_of(True)
    ask(wire, b"/bytes")
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            ask(wire, b"/bytes")
        assert gc.collect() == 0
    finally:
        gc.enable()
