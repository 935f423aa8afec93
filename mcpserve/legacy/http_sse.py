"""HTTP with SSE, the transport of 2024-11-05: one endless stream to the client, and a path for what it says.

    GET /sse                            a stream; its first event, `endpoint`, names the path for this client's messages
    POST /messages?sessionId=ID         202; what there is to answer comes on the stream
    the stream is gone                  so is the session, and its calls are cancelled

It is deprecated, and off unless a setting turns it on. Whatever revision the handshake agrees on is spoken here.
Spec: 2024-11-05, Transports, HTTP with SSE.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from klein import Klein
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

from mcpserve.errors import InternalError, ProtocolError, Refusal
from mcpserve.legacy.batches import Again
from mcpserve.legacy.handshake import Handshake
from mcpserve.legacy.talk import Talk
from mcpserve.policy.callers import Caller
from mcpserve.policy.capacity import Places
from mcpserve.protocol import jsonrpc, sse
from mcpserve.protocol.jsonrpc import Request
from mcpserve.server.conversation import Conversation, Voice
from mcpserve.web.admission import Admission
from mcpserve.web.endpoint import answer_error
from mcpserve.web.facts import check_content_type, read_facts
from mcpserve.web.request import McpRequest
from mcpserve.web.response import ResponseWriter, Turns
from mcpserve.web.routing import RoutedResource

STREAM, MESSAGES = "/sse", "/messages"
_ACCEPTED = ((b"Content-Type", b"text/plain; charset=utf-8"),)
_log = Logger()


@attrs.frozen(kw_only=True)
class HttpSseLimits:
    """How many streams there may be, and for how long.

    Args:
        count: Streams at the most; more are refused with 503.
        of_caller: Those of one party, with 429; None for as many as there may be in total.
        lifetime: Seconds after which one ends in any case.
    """

    count: int = 10_000
    of_caller: int | None = None
    lifetime: float = 24 * 3600.0


class SseSession:
    """One client: its stream, and what it says. Implements `server.conversation.Way` and `web.response.Listener`.

    Args:
        writer: The stream.
        caller: Whose it is.
        handshake: Answers what only these revisions have.
        on_end: Called once, when the stream is gone.
        again: Counts the requests of a batch after its first.
    """

    def __init__(
        self, writer: ResponseWriter, caller: Caller, handshake: Handshake, on_end: Callable[[], object], again: Again
    ) -> None:
        self.caller = caller
        self.ending: IDelayedCall | None = None
        self._writer = writer
        self._on_end = on_end
        self._conversation = Conversation(self)
        self._talk = Talk(handshake, self._conversation, caller, again)
        writer.listener = self

    def take(self, body: bytes, caller: Caller) -> None:
        """Take what the client says.

        Args:
            body: The message.
            caller: Who says it: the party that opened the stream, with the credential that it shows now.

        Raises:
            ProtocolError: It is no message, or a batch that can't stand here. All else is answered on the stream.
        """
        message = jsonrpc.parse(body)
        self._talk.heard_from(caller)
        try:
            self._talk.take(message)
        except ProtocolError as error:
            if not isinstance(message, Request):
                raise
            self._conversation.refuse(error, message.id)

    def close(self, retry_ms: int | None = None) -> None:
        """End the stream; `retry_ms` says when to open another."""
        self._conversation.lost()
        self._over()
        self._writer.listener = None
        self._writer.end(b"" if retry_ms is None else sse.retry(retry_ms))

    # --- Way

    @property
    def behind(self) -> bool:
        """See `Way.behind`."""
        return self._writer.behind

    def say(self, message: bytes) -> None:
        """See `Way.say`."""
        self._writer.send(sse.named_event("message", message))

    def notify(self, voice: Voice, message: bytes, replaceable: bool) -> None:
        """See `Way.notify`. Nothing is replaceable here: the number that waits may be of another call."""
        self.say(message)

    def drop(self, voice: Voice) -> None:
        """See `Way.drop`. What was handed to the writer can't be taken back."""

    # --- Listener

    def lost(self) -> None:
        """The stream is gone."""
        self._conversation.lost()
        self._over()

    def overrun(self) -> None:
        """The reader was too slow, and the stream was cut."""
        self._conversation.overrun()
        self._over()

    def pause(self) -> None:
        """The reader is behind."""
        self._conversation.pause()

    def resume(self) -> None:
        """The reader caught up."""
        self._conversation.resume()
        self._talk.resumed()

    def _over(self) -> None:
        if self.ending is not None and self.ending.active():
            self.ending.cancel()
        self._talk.close()
        self._on_end()


@attrs.define
class HttpSse:
    """The two paths, and who is connected.

    Args:
        handshake: Answers what only these revisions have.
        admission: Who is let in. Spec: "Servers MUST validate the Origin header on all incoming connections to prevent
            DNS rebinding attacks".
        turns: Shared by all responses.
        limits: How many may be connected, and for how long.
        prefix: Stands before the paths that clients know, where a proxy takes it away.
    """

    handshake: Handshake
    admission: Admission
    turns: Turns
    limits: HttpSseLimits = HttpSseLimits()
    prefix: str = ""
    _sessions: dict[str, SseSession] = attrs.field(factory=dict, init=False)
    _places: Places = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = Places("streams", "max_sessions", self.limits.count, self.limits.of_caller)

    app = Klein()
    app.url_map.merge_slashes = False

    @app.route(STREAM, methods=["GET"], strict_slashes=True)
    def stream(self, request: McpRequest) -> Any:
        """Open a stream."""
        self.admission.pass_on(request, self._open, answer_error)
        return NOT_DONE_YET

    @app.route(MESSAGES, methods=["POST"], strict_slashes=True)
    def message(self, request: McpRequest) -> Any:
        """Take a message."""
        self.admission.pass_on(request, self._take, answer_error)
        return NOT_DONE_YET

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def refused(self, request: McpRequest, failure: Failure) -> Any:
        """Another method than the one of the path."""
        method = "GET" if request.path == STREAM.encode("ascii") else "POST"
        answer_error(request, Refusal(405, f"Only {method} is allowed here", {"Allow": method}))
        return NOT_DONE_YET

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def failed(self, request: McpRequest, failure: Failure) -> Any:
        """A fault of ours."""
        _log.failure("A request failed", failure=failure)
        error = InternalError("Internal error")
        error.status = 500
        answer_error(request, error)
        return NOT_DONE_YET

    def places(self) -> Mapping[bytes, RoutedResource]:
        """The resource of each path."""
        resource = RoutedResource(self.app)
        return {path.encode("ascii"): resource for path in (STREAM, MESSAGES)}

    def close_all(self, retry_ms: int | None = None) -> None:
        """End all streams; see `SseSession.close`."""
        for session in list(self._sessions.values()):
            session.close(retry_ms)

    def __len__(self) -> int:
        return len(self._sessions)

    def _open(self, request: McpRequest, caller: Caller) -> None:
        if request.method == b"HEAD":
            # Klein takes it for a GET whose body nobody wants
            raise Refusal(405, "Only GET is allowed here", {"Allow": "GET"})
        facts = read_facts(request)
        if not facts.accept.sse:
            raise Refusal(406, "The Accept header must take text/event-stream")
        self._places.take(caller.party)
        session_id = secrets.token_urlsafe(24)
        writer = ResponseWriter(request, facts.accept, self.turns)
        session = SseSession(writer, caller, self.handshake, partial(self._ended, session_id), self.admission.again)
        self._sessions[session_id] = session
        session.ending = self.turns.clock.callLater(self.limits.lifetime, session.close)
        # "the server MUST send an endpoint event containing a URI for the client to use for sending messages"
        writer.open(sse.named_event("endpoint", f"{self.prefix}{MESSAGES}?sessionId={session_id}".encode("ascii")))
        writer.until_replied()

    def _ended(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._places.give_back(session.caller.party)

    def _take(self, request: McpRequest, caller: Caller) -> None:
        check_content_type(request)
        session_id = (request.args or {}).get(b"sessionId", [b""])[0].decode("latin-1")
        session = self._sessions.get(session_id)
        if session is None or session.caller.name != caller.name:
            raise Refusal(404, f"This session is unknown or its stream has ended; open another with GET {STREAM}")
        session.take(request.body, caller)
        request.answer(202, _ACCEPTED, b"Accepted")
