"""The face for the revisions with a handshake: initialize, sessions, resumable streams, batches.

It reads what a session knows into request metadata and hands the request to the same dispatcher as a modern one.
Spec: 2025-11-25 and before: Transports, Cancellation.
"""

from __future__ import annotations

from typing import Any

from mcpserve.errors import InvalidRequest, ProtocolError, Refusal
from mcpserve.legacy.batches import MOST_ELEMENTS, Again, BatchReply, uncounted
from mcpserve.legacy.handshake import Handshake, agree, metadata_of
from mcpserve.legacy.requests import AskingCarrier
from mcpserve.legacy.session import Session
from mcpserve.legacy.sessions import Sessions
from mcpserve.policy.callers import Caller
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.jsonrpc import Batch, Message, Notification, Request, Response
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.subscriptions import Subscriptions
from mcpserve.web.facts import Facts
from mcpserve.web.request import McpRequest
from mcpserve.web.response import ResponseWriter, Turns


class SessionFace:
    """Answers what needs a session. Implements `web.endpoint.LegacyFace`.

    Args:
        dispatcher: What the methods do.
        sessions: Where sessions live.
        turns: Shared by all responses.
        subscriptions: What there is to hear of lists and resources that change, if anything is.
        again: Counts the requests of a batch after its first; may raise Busy.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        sessions: Sessions,
        turns: Turns,
        subscriptions: Subscriptions | None = None,
        again: Again = uncounted,
    ) -> None:
        self._handshake = Handshake(dispatcher, subscriptions)
        self._turns = turns
        self._again = again
        self.sessions = sessions

    # --- LegacyFace

    def message(self, request: McpRequest, facts: Facts, caller: Caller, message: Message) -> None:
        """See `LegacyFace.message`."""
        if isinstance(message, Request) and message.method == "initialize":
            self._initialize(request, facts, caller, message)
            return
        session = self._session(facts, caller)
        if isinstance(message, Request):
            self._request(request, facts, caller, session, message)
        else:
            self._accept(session, message)
            request.answer(202, (), b"")

    def batch(self, request: McpRequest, facts: Facts, caller: Caller, batch: Batch) -> None:
        """See `LegacyFace.batch`. Spec: 2025-03-26, Base Protocol: "MUST support receiving JSON-RPC batches"."""
        session = self._session(facts, caller)
        if not session.revision.batches:
            raise Refusal(400, f"Batches are not part of revision {session.revision.name}; send one message a POST")
        if len(batch.items) > MOST_ELEMENTS:
            raise Refusal(400, f"A batch may hold {MOST_ELEMENTS} messages here; this one has {len(batch.items)}")
        writer = ResponseWriter(request, facts.accept, self._turns)
        reply = BatchReply(writer)
        request.exchanged = True
        for item in batch.items:
            self._element(session, caller, reply, item)
        session.keep(only_state=True)
        reply.complete()

    def get(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """See `LegacyFace.get`."""
        if not facts.accept.sse:
            raise Refusal(406, "The Accept header must take text/event-stream")
        session = self._session(facts, caller)
        writer = ResponseWriter(request, facts.accept, self._turns)
        if facts.last_event_id is None:
            session.listen(writer)
        elif not session.take_up(writer, facts.last_event_id):
            raise Refusal(400, "This Last-Event-ID is unknown in this session, or its events are gone")
        writer.until_replied()

    def delete(self, request: McpRequest, facts: Facts, caller: Caller) -> None:
        """See `LegacyFace.delete`."""
        self.sessions.close(self._session(facts, caller))
        request.answer(204, (), b"")

    def restore(self) -> int:
        """Go on with the sessions of the process before; see `Sessions.restore`."""
        number = self.sessions.restore()
        for session in self.sessions:
            # what else its client has shown, it will show again with its next request
            self._handshake.attend(session, Caller(name=session.owner), session.say, session.uris)
        return number

    # --- requests

    def _initialize(self, request: McpRequest, facts: Facts, caller: Caller, message: Request) -> None:
        if facts.session_id is not None:
            raise InvalidRequest("initialize begins a session and can't be sent within one")
        agreed = agree(message.params)
        session = self.sessions.open(agreed.revision, agreed.client_info, agreed.capabilities, caller)
        self._handshake.attend(session, caller, session.say)
        headers = [(b"Mcp-Session-Id", session.id.encode("ascii"))]
        writer = ResponseWriter(request, facts.accept, self._turns, headers)
        request.exchanged = True
        writer.reply(self._handshake.answer(message, agreed, caller), 200)

    def _request(self, request: McpRequest, facts: Facts, caller: Caller, session: Session, message: Request) -> None:
        if message.id in session.calls:
            raise InvalidRequest("A request with this id is still running in this session")
        known = metadata_of(session, message, facts.traced)
        writer = ResponseWriter(request, facts.accept, self._turns)
        stream = session.stream(writer)
        carrier = AskingCarrier(stream, session.requests, streams=facts.accept.sse)
        exchange = Exchange(message, session.revision, carrier)
        stream.exchange = exchange
        session.calls[message.id] = exchange
        request.exchanged = True
        self._handshake.dispatch(session, exchange, known, caller)
        session.keep(only_state=True)
        writer.until_replied()

    def _accept(self, session: Session, message: Notification | Response) -> None:
        """Take what wants no answer; what is unknown is dropped."""
        if isinstance(message, Response):
            session.requests.answer(message)
        elif message.method == "notifications/cancelled":
            request_id = message.params.get("requestId")
            # 1, 1.0 and true are one key to Python, but not one id
            if jsonrpc.is_id(request_id) and request_id in session.calls:
                session.calls[request_id].withdraw()

    def _element(self, session: Session, caller: Caller, reply: BatchReply, item: Any) -> None:
        try:
            message = jsonrpc.message_from(item)
        except InvalidRequest as error:
            reply.refuse(error, error.request_id)
            return
        if isinstance(message, Request):
            self._batched_request(session, caller, reply, message)
        else:
            self._accept(session, message)

    def _batched_request(self, session: Session, caller: Caller, reply: BatchReply, message: Request) -> None:
        try:
            if message.method == "initialize":
                # "The initialize request MUST NOT be part of a JSON-RPC batch" (2025-03-26, Lifecycle)
                raise InvalidRequest("initialize can't be part of a batch")
            if reply.requests:
                self._again(caller)
            reply.requests += 1
            known = metadata_of(session, message)
        except ProtocolError as error:
            reply.refuse(error, message.id)
            return
        if message.id in session.calls:
            # Without the id: with it, it would be taken for the reply to the call that runs.
            reply.refuse(InvalidRequest("A request with this id is still running in this session"), None)
            return
        carrier = reply.carrier(lambda: session.calls.pop(message.id, None))
        exchange = carrier.exchange = Exchange(message, session.revision, carrier)
        session.calls[message.id] = exchange
        self._handshake.dispatch(session, exchange, known, caller)

    def _session(self, facts: Facts, caller: Caller) -> Session:
        if facts.session_id is None:
            raise Refusal(400, "The Mcp-Session-Id header is missing; send initialize first")
        session = self.sessions.get(facts.session_id, caller.name)
        self._handshake.attend(session, caller, session.say)
        return session
