"""The conversation with a server of 2025-11-25 or before: a session, a POST for each message, streams that go on.

Spec: 2025-11-25, Transports, Streamable HTTP; Lifecycle; Cancellation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from twisted.internet.task import deferLater

from mcpserve.client.conversation import Host, Outgoing, ServerDescription
from mcpserve.client.dressing import dressed
from mcpserve.client.inflight import InFlight, Work
from mcpserve.client.messages import METHOD_NOT_FOUND, error_code, read
from mcpserve.client.overhearing import Overhearing
from mcpserve.client.posting import POST_HEADERS, Endpoint, finish, is_stream, refusal, succeeded, tell, told
from mcpserve.client.questions import Questions
from mcpserve.client.resuming import ResumableStream, SessionForgotten
from mcpserve.client.session import Session, Sessions
from mcpserve.client.speaking import Speaking
from mcpserve.client.web import Answer
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    ClientError,
    DeadlinePassed,
    Refused,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Message, Notification, Request, Response, encode_notification
from mcpserve.protocol.revisions import Revision

NEW_SESSIONS = 2
"""How often one request may find that the server has forgotten its session."""


class Call(InFlight):
    """A request in a session.

    Args:
        speaking: Tells the server what is cancelled.
        outgoing: The request.
        buffer: See `InFlight`.
    """

    __slots__ = ("_speaking", "outgoing", "sent")

    def __init__(self, speaking: Speaking, outgoing: Outgoing, buffer: int) -> None:
        super().__init__(buffer)
        self.outgoing = outgoing
        self.sent: tuple[Session, int] | None = None
        """The session and the id with which it is on its way; None while it is not."""
        self._speaking = speaking

    def withdraw(self, reason: str | None) -> None:
        """Spec: "To cancel, the client SHOULD explicitly send an MCP CancelledNotification"."""
        # "The `initialize` request MUST NOT be cancelled by clients", should somebody send one by hand.
        if self.sent is not None and self.outgoing.method != "initialize":
            self._speaking.cancelled(*self.sent, reason)


class Legacy:
    """Talks to a server in sessions; see `mcpserve.client.conversation.Conversation`.

    Args:
        endpoint: The server.
        session: The session that was begun with it.
        ids: Gives the ids of requests; each one once.
        speaking: Says all but the requests.
    """

    def __init__(self, endpoint: Endpoint, session: Session, ids: Iterator[int], speaking: Speaking) -> None:
        self._endpoint = endpoint
        self._ids = ids
        self._speaking = speaking
        self._by_id: dict[int, Call] = {}
        self._calls: set[Call] = set()
        self._closed = False
        self._sessions = Sessions(session, speaking.begin, self._begun)
        self._questions = self._questions_in(session)
        self._overhearing = Overhearing(endpoint, self._overheard, self._forgotten)
        self._renewals: set[Work] = set()
        self._overhearing.begin(session)

    @property
    def server(self) -> ServerDescription:
        """What the server said of itself when the session began."""
        return self._sessions.current.server

    def request(self, outgoing: Outgoing) -> Call:
        """Send a request; see `Conversation.request`."""
        call = Call(self._speaking, outgoing, self._endpoint.terms.limits.buffer)
        if self._closed:
            call.close()
        else:
            self._calls.add(call)
            call.start(self._work(call), lambda: self._ended(call))
        return call

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification; see `Conversation.notify`."""
        if self._closed:
            raise ClientClosed("The client was closed")
        body, session = encode_notification(method, params), self._sessions.current
        status, error = await told(self._endpoint, session.headers, body, None)
        if error is not None:
            if not await self._is_forgotten(session, status):
                raise error
            session = await self._sessions.after(session)
            await tell(self._endpoint, session.headers, body, None)

    async def close(self) -> None:
        """Cancel what runs, end the session; see `Conversation.close`."""
        if self._closed:
            return
        self._closed = True
        for call in list(self._calls):
            call.close()
        for renewal in list(self._renewals):
            renewal.cancel()
        self._overhearing.stop()
        self._questions.close()
        self._sessions.close()
        await self._speaking.part(self._sessions.current)

    # --- a request

    async def _work(self, call: Call) -> None:
        outgoing, retries = call.outgoing, self._endpoint.terms.retries
        session, failures, forgotten = self._sessions.current, 0, 0
        while True:
            try:
                return await self._attempt(call, outgoing, session)
            except SessionForgotten as error:
                forgotten += 1
                if forgotten > NEW_SESSIONS:
                    raise Refused(f"{self._endpoint.name} forgets its sessions at once", 404) from error
                session = await self._sessions.after(session)
            except (AnswerLost, Unreachable) as error:
                never_sent = failures == 0 and isinstance(error, Unreachable)
                if never_sent or not (outgoing.repeatable and call.fresh) or failures >= retries.attempts:
                    raise
                await deferLater(self._endpoint.terms.clock, retries.delay(failures, self._endpoint.terms.random()))
                failures += 1
                session = self._sessions.current

    async def _attempt(self, call: Call, outgoing: Outgoing, session: Session) -> None:
        request_id = next(self._ids)
        body = _body(outgoing, self._endpoint.host, session.server.revision, request_id)
        headers = {**POST_HEADERS, **session.headers}
        call.sent = session, request_id
        self._by_id[request_id] = call
        try:
            answer = await self._endpoint.web.send("POST", self._endpoint.url, headers, body, outgoing.timeouts)
            del body  # A long answer may follow.
            if is_stream(answer):
                await self._follow(call, session, answer)
            else:
                await self._read(call, session, answer)
        except (AnswerLost, AnswerTooLarge, BadAnswer, DeadlinePassed) as error:
            # "the sender SHOULD issue a cancellation notification for that request and stop waiting for a response"
            if not (isinstance(error, DeadlinePassed) and error.which == "connect"):
                call.withdraw(str(error))
            raise
        finally:
            call.sent = None
            del self._by_id[request_id]

    async def _read(self, call: Call, session: Session, answer: Answer) -> None:
        """Take an answer in one piece."""
        try:
            if not succeeded(answer):
                await self._take_refusal(call, session, answer)
                return
            body = await answer.whole()
            if body.strip():
                await self._take(call, body)
            if not call.over:
                raise BadAnswer(
                    f"{self._endpoint.name} answered {call.outgoing.method} with {answer.status} but without a response"
                )
        finally:
            answer.abort()

    async def _take_refusal(self, call: Call, session: Session, answer: Answer) -> None:
        refused = await refusal(answer, self._endpoint.name)
        known = isinstance(refused, Response) and error_code(refused.error) == METHOD_NOT_FOUND
        if not known and await self._is_forgotten(session, answer.status):
            raise SessionForgotten("The session is over")
        if isinstance(refused, Refused):
            raise refused
        await call.deliver(refused, 0)

    async def _follow(self, call: Call, session: Session, answer: Answer) -> None:
        """Take a stream of events, to its end."""
        outgoing = call.outgoing
        timeouts = outgoing.timeouts or self._endpoint.terms.timeouts
        stream = ResumableStream(self._endpoint, answer, session.headers, timeouts, outgoing.method)
        try:
            while not call.over:
                event = await stream.next_event()
                if event.type == "message":
                    await self._take(call, event.data)
            await finish(stream.answer, self._endpoint.terms.clock)
        except SessionForgotten as error:
            if outgoing.repeatable and call.fresh:
                raise
            raise AnswerLost(f"{self._endpoint.name} has lost its session while {outgoing.method} ran") from error
        finally:
            stream.answer.abort()

    async def _take(self, call: Call, data: bytes) -> None:
        """Take what came on the stream of a call; in a batch, the response comes last."""
        messages = read(data)
        if len(messages) > 1:
            messages = sorted(messages, key=lambda message: isinstance(message, Response))
        for message in messages:
            mine = self._route(message, len(data), call)
            if mine is not None:
                if isinstance(mine, Response) and mine.error is None:
                    self._speaking.kept.note(call.outgoing.method, call.outgoing.params)
                await call.deliver(mine, len(data))
            call.check()

    def _ended(self, call: Call) -> None:
        self._calls.discard(call)
        self._questions.forget(call)
        self._overhearing.nudge()

    # --- who is meant by a message

    def _route(self, message: Message, size: int, own: Call | None) -> Notification | Response | None:
        """Bring a message to whom it belongs; return it if that is the call on whose stream it came."""
        if isinstance(message, Request):
            self._questions.ask(message, own)
            return None
        if isinstance(message, Notification):
            if message.method == "notifications/cancelled":
                self._questions.withdraw(message.params.get("requestId"))
                return None
            if message.method != "notifications/progress":
                return self._without_token(message, own)
            key: object = message.params.get("progressToken")
        else:
            key = message.id
        # Our ids and tokens are integers; and to a dictionary 1, 1.0 and True are one.
        if type(key) is not int:
            return message if own is not None else None
        call = self._by_id.get(key)
        if call is own:
            return message if own is not None else None
        if call is not None:
            call.push(message, size)
        return None

    def _without_token(self, message: Notification, own: Call | None) -> Notification | None:
        if own is not None:
            return message
        self._endpoint.host.heard(message)
        return None

    def _overheard(self, data: bytes) -> None:
        for message in read(data):
            self._route(message, len(data), None)

    # --- the session

    def _begun(self, session: Session) -> None:
        self._questions.close()
        self._questions = self._questions_in(session)
        self._overhearing.begin(session)
        self._endpoint.host.missed()

    def _questions_in(self, session: Session) -> Questions:
        return Questions(self._endpoint.host, lambda answer: self._speaking.answer(session, answer))

    def _forgotten(self, session: Session) -> None:
        """The stream of the session found out that it is over, which a request would have, later."""
        renewal = Work(self._renew(session))
        self._renewals.add(renewal)
        renewal.ended(lambda error: self._renewals.discard(renewal))

    async def _renew(self, session: Session) -> None:
        host = self._endpoint.host
        if await self._speaking.knows(session):
            # A server may also stop to offer the stream, and know the session very well.
            host.deaf(AnswerLost(f"{self._endpoint.name} tells nothing outside of requests any more"))
            return
        try:
            await self._sessions.after(session)
        except ClientError as error:
            host.deaf(error)
            raise

    async def _is_forgotten(self, session: Session, status: int) -> bool:
        """Tell whether a request was refused because its session is over: 404, but many a server says 400."""
        if session.id is None:
            return False
        return status == 404 or (status == 400 and not await self._speaking.knows(session))


def _body(outgoing: Outgoing, host: Host, revision: Revision, request_id: int) -> bytes:
    # "Progress tokens MUST be unique across all active requests": as the ids are.
    params = dressed(outgoing, host, revision, request_id)
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": outgoing.method}
    if params:
        message["params"] = params
    return orjson.dumps(message)
