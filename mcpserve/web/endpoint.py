"""The MCP endpoint: Klein routes, and how a POST finds its era.

A request passes in this order: Host and Origin, Content-Type and Accept, the body as JSON, the message's era. What is
wrong first is answered first, and in one place.

    message                      MCP-Protocol-Version     goes to
    request with a version       any or none              modern
    initialize without           none, legacy, unknown    legacy
    any other without            modern                   -32602, the `_meta` keys are missing
    any other without            unknown                  -32022
    any other without            none, legacy             legacy
    notification                 with a claim, or modern  modern: accepted
    response                     modern                   -32600
    anything else                                         legacy

Spec: 2026-07-28, Streamable HTTP; Versioning, Backward Compatibility.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import attrs
from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from mcpserve.errors import Busy, InternalError, InvalidRequest, ProtocolError, Refusal, UnsupportedVersion
from mcpserve.policy.callers import Caller
from mcpserve.protocol import jsonrpc, metadata
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.headers import check_method, check_version
from mcpserve.protocol.jsonrpc import Batch, Message, Notification, Request, Response
from mcpserve.protocol.revisions import LEGACY, MODERN
from mcpserve.server.dispatch import Dispatcher
from mcpserve.web.admission import Admission
from mcpserve.web.facts import Facts, check_accept, check_content_type, check_single, read_facts
from mcpserve.web.request import McpRequest
from mcpserve.web.response import JSON_HEADERS, ResponseWriter, Turns, encoded

PATH = "/mcp"
_log = Logger()


class LegacyFace(Protocol):
    """What answers the revisions with a handshake; the endpoint works without one."""

    def message(self, request: McpRequest, facts: Facts, caller: Caller, message: Message) -> None:
        """Answer a POST that holds one message. May raise ProtocolError."""

    def batch(self, request: McpRequest, facts: Facts, caller: Caller, batch: Batch) -> None:
        """Answer a POST that holds an array. May raise ProtocolError."""

    def get(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """Answer a GET. May raise ProtocolError."""

    def delete(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """Answer a DELETE. May raise ProtocolError."""


@attrs.define
class Endpoint:
    """The routes of one server.

    Args:
        dispatcher: What the methods do.
        admission: Who is let in.
        turns: Shared by all responses.
        legacy: The revisions with a handshake, if they are served.
    """

    dispatcher: Dispatcher
    admission: Admission
    turns: Turns
    legacy: LegacyFace | None = None

    app = Klein()
    # "/mcp//" is another path, not a reason to redirect
    app.url_map.merge_slashes = False

    @app.route(PATH, methods=["POST"], strict_slashes=True)
    @app.route(PATH + "/", methods=["POST"])
    def post(self, request: McpRequest) -> Any:
        """Take a message."""
        self.admission.pass_on(request, self._post, answer_error)
        return NOT_DONE_YET

    @app.route(PATH, methods=["GET"], strict_slashes=True)
    @app.route(PATH + "/", methods=["GET"])
    def get(self, request: McpRequest) -> Any:
        """Open a legacy stream."""
        self.admission.pass_on(request, partial(self._sessional, "get"), answer_error)
        return NOT_DONE_YET

    @app.route(PATH, methods=["DELETE"], strict_slashes=True)
    @app.route(PATH + "/", methods=["DELETE"])
    def delete(self, request: McpRequest) -> Any:
        """End a legacy session."""
        self.admission.pass_on(request, partial(self._sessional, "delete"), answer_error)
        return NOT_DONE_YET

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def refused(self, request: McpRequest, failure: Failure) -> Any:
        """What Klein found wrong: an unknown path, a method that is not allowed."""
        problem = failure.value
        assert isinstance(problem, HTTPException)
        headers = {"Allow": self._methods} if isinstance(problem, MethodNotAllowed) else {}
        answer_error(request, Refusal(problem.code or 500, f"{problem.name}: the endpoint is {PATH}", headers))
        return NOT_DONE_YET

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def failed(self, request: McpRequest, failure: Failure) -> Any:
        """A fault of ours."""
        _log.failure("A request failed", failure=failure)
        error = InternalError("Internal error")
        error.status = 500
        answer_error(request, error)
        return NOT_DONE_YET

    def _post(self, request: McpRequest, caller: Caller) -> None:
        check_content_type(request)
        facts = read_facts(request)
        check_accept(facts.accept)
        self._take(request, facts, caller, jsonrpc.parse(request.body))

    def _take(self, request: McpRequest, facts: Facts, caller: Caller, message: Message | Batch) -> None:
        version = facts.protocol_version
        if isinstance(message, Request):
            self._take_request(request, facts, caller, message)
            return
        check_single(facts)
        if isinstance(message, Batch):
            self._take_batch(request, facts, caller, message)
        elif isinstance(message, Notification) and (version in MODERN or metadata.claims_revision(message.params)):
            self._take_notification(request, message)
        elif isinstance(message, Response) and version in MODERN:
            raise InvalidRequest("A client sends no responses in this revision", request_id=None)
        else:
            check_legacy_version(version)
            self._legacy().message(request, facts, caller, message)

    def _take_request(self, request: McpRequest, facts: Facts, caller: Caller, message: Request) -> None:
        version = facts.protocol_version
        try:
            check_single(facts)
            if version in MODERN or metadata.claims_revision(message.params):
                self._answer_modern(request, facts, caller, message)
                return
            if message.method != "initialize":
                check_legacy_version(version)
            self._legacy().message(request, facts, caller, message)
        except ProtocolError as error:
            nameless = isinstance(error, Refusal) and not isinstance(error, Busy)
            answer_error(request, error, None if nameless else message.id)

    def _answer_modern(self, request: McpRequest, facts: Facts, caller: Caller, message: Request) -> None:
        version = metadata.claimed_revision(message.params)
        check_version(facts.protocol_version, version)
        revision = metadata.modern_revision(version)
        known = metadata.modern_metadata(revision, message.params, facts.mirrored, facts.traced)
        check_method(facts.mirrored, message.method)
        if not facts.accept.sse and self.dispatcher.streams(message.method):
            raise Refusal(406, f"The Accept header must take text/event-stream: {message.method} answers with a stream")
        writer = ResponseWriter(request, facts.accept, self.turns)
        exchange = Exchange(message, revision, writer)
        writer.listener = exchange
        request.exchanged = True
        self.dispatcher.dispatch(exchange, known, caller)
        writer.until_replied()

    def _take_notification(self, request: McpRequest, message: Notification) -> None:
        """Spec: "If the server accepts it, the server MUST return HTTP status code 202 Accepted with no body."

        A malformed claim gets an error "that has no id"; none at all is fine: "header requirements for notification
        POSTs are not defined by this revision", and neither are those for `_meta`.
        """
        if not isinstance(message.params.get("_meta", {}), dict) or metadata.claims_revision(message.params):
            metadata.modern_revision(metadata.claimed_revision(message.params))
        request.answer(202, (), b"")

    def _take_batch(self, request: McpRequest, facts: Facts, caller: Caller, batch: Batch) -> None:
        if not batch.items:
            raise InvalidRequest("An empty batch holds no message")
        if facts.protocol_version in MODERN or any(map(_claims, batch.items)):
            raise InvalidRequest("Batches are not part of this protocol revision; send one message a POST")
        check_legacy_version(facts.protocol_version)
        self._legacy().batch(request, facts, caller, batch)

    def _sessional(self, what: str, request: McpRequest, caller: Caller) -> None:
        if request.method == b"HEAD":
            # Klein takes HEAD for a GET whose body nobody wants; a GET here opens a stream and replaces another
            raise Refusal(405, "The endpoint has no HEAD", {"Allow": self._methods})
        facts = read_facts(request)
        check_single(facts)
        if self.legacy is None or (facts.protocol_version in MODERN and facts.session_id is None):
            raise Refusal(405, "Only POST is allowed here in this protocol revision", {"Allow": "POST"})
        check_legacy_version(facts.protocol_version)
        getattr(self.legacy, what)(request, facts, caller)

    @property
    def _methods(self) -> str:
        return "POST" if self.legacy is None else "DELETE, GET, POST"

    def _legacy(self) -> LegacyFace:
        if self.legacy is None:
            raise UnsupportedVersion("a revision with initialize", list(MODERN))
        return self.legacy


def check_legacy_version(version: str | None) -> None:
    """Take a legacy `MCP-Protocol-Version`, or none.

    Raises:
        UnsupportedVersion: It is unknown. Spec: 2025-06-18, Transports: "If the server receives a request with an
            invalid or unsupported MCP-Protocol-Version, it MUST respond with 400 Bad Request."
    """
    if version is not None and version not in LEGACY and version not in MODERN:
        raise UnsupportedVersion(version, list(MODERN))


def answer_error(request: McpRequest, error: ProtocolError, request_id: int | str | None = None) -> None:
    """Answer with an error before there is an exchange. The one place where refusals take their form.

    Args:
        request: What is answered.
        error: What is wrong.
        request_id: The id of its message; by default what the error knows of it.
    """
    if request_id is None and isinstance(error, InvalidRequest):
        request_id = error.request_id
    request.answer(error.status, (*JSON_HEADERS, *encoded(error.headers)), jsonrpc.encode_error(request_id, error))


def site_refusal(status: int, sentence: str) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """What the HTTP layer answers on its own: the same form, for what was wrong before there was a request."""
    return JSON_HEADERS, jsonrpc.encode_error(None, Refusal(status, sentence))


def _claims(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(p := item.get("params"), dict) and metadata.claims_revision(p)
