"""What the client says in a session beside its user's requests: the handshake, answers, cancellations, the farewell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mcpserve.client.inflight import Work
from mcpserve.client.limits import Timeouts
from mcpserve.client.posting import Endpoint, reply_to, tell
from mcpserve.client.session import INITIALIZED, Kept, Session, established, initialize
from mcpserve.errors import AnswerLost, ClientError, DeadlinePassed, Unreachable
from mcpserve.protocol.jsonrpc import encode_notification
from mcpserve.protocol.revisions import Revision

log = Logger()


class Speaking:
    """Says these things, and remembers what a new session has to be told.

    Args:
        endpoint: The server.
        revision: The one to ask for.
        ids: Gives the ids of requests; each one once.
        doubted: Called when the server does not shake hands any more: it may have become another one.
    """

    def __init__(
        self, endpoint: Endpoint, revision: Revision, ids: Iterator[int], doubted: Callable[[], object]
    ) -> None:
        self.kept = Kept()
        self._endpoint = endpoint
        self._revision = revision
        self._ids = ids
        self._doubted = doubted
        bound = endpoint.terms.timeouts.close
        self._brief = Timeouts(connect=bound, head=bound, idle=bound, total=bound, close=bound)
        self._farewells: set[Work] = set()
        self._waiting: Deferred[None] | None = None

    async def begin(self) -> Session:
        """Begin another session, and tell it what the one before had been told.

        Raises:
            ClientError: The server does not want to.
        """
        try:
            reply = await initialize(self._endpoint, self._revision, next(self._ids))
            session = established(reply, self._endpoint.name)
        except ClientError:
            self._doubted()
            raise
        await self.greet(session)
        for method, params in self.kept.requests():
            await self._again(session, method, params)
        return session

    async def greet(self, session: Session) -> None:
        """Say that the session may begin.

        Raises:
            ClientError: The server does not take it.
        """
        await tell(self._endpoint, session.headers, INITIALIZED, None)

    async def _again(self, session: Session, method: str, params: Any) -> None:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            reply = await reply_to(self._endpoint, session.headers, orjson.dumps(body), self._brief)
            taken = reply.response is not None and reply.response.error is None
        except ClientError:
            taken = False
        if not taken:
            log.warn("The new session did not take {method}, which the one before had been told", method=method)

    async def answer(self, session: Session, body: bytes) -> None:
        """Bring an answer to a question of the server; as that may be brought twice, it is tried again.

        Raises:
            ClientError: The server did not take it.
        """
        retries = self._endpoint.terms.retries
        for failures in range(retries.attempts):
            try:
                return await tell(self._endpoint, session.headers, body, None)
            except (AnswerLost, Unreachable):
                await deferLater(self._endpoint.terms.clock, retries.delay(failures, self._endpoint.terms.random()))
        await tell(self._endpoint, session.headers, body, None)

    async def knows(self, session: Session) -> bool:
        """Ask whether the server still knows the session: some say 400 where the specification says 404."""
        body = orjson.dumps({"jsonrpc": "2.0", "id": next(self._ids), "method": "ping"})
        try:
            reply = await reply_to(self._endpoint, session.headers, body, self._brief)
        except ClientError:
            return True
        return reply.status not in (400, 404)

    def cancelled(self, session: Session, request_id: int, reason: str | None) -> None:
        """Tell the server that nobody wants a response any more; whether it hears that is its own affair."""
        params = {"requestId": request_id} if reason is None else {"requestId": request_id, "reason": reason}
        farewell = Work(self._say(session, encode_notification("notifications/cancelled", params)))
        self._farewells.add(farewell)
        farewell.ended(lambda error: self._said(farewell))

    async def _say(self, session: Session, body: bytes) -> None:
        """Say it, and once more if the connection was to blame: otherwise the server would work on for nobody."""
        for _ in range(2):
            try:
                return await tell(self._endpoint, session.headers, body, self._brief)
            except (AnswerLost, DeadlinePassed, Unreachable) as error:
                log.debug("A cancellation may not have reached the server: {reason}", reason=str(error))
            except ClientError as error:
                return log.debug("The server did not take a cancellation: {reason}", reason=str(error))

    def _said(self, farewell: Work) -> None:
        self._farewells.discard(farewell)
        if self._waiting is not None and not self._farewells:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    async def part(self, session: Session) -> None:
        """Let the last words be heard and end the session, in `timeouts.close`; never raises.

        Spec: "Clients that no longer need a particular session SHOULD send an HTTP DELETE to the MCP endpoint".
        """
        bound = self._endpoint.terms.timeouts.close
        try:
            await self._within(bound / 2, self._heard())
            if session.id is not None:
                await self._within(bound / 2, ensureDeferred(self._delete(session)))
        finally:
            for farewell in list(self._farewells):
                farewell.cancel()

    def _heard(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        if not self._farewells:
            self._waiting = None
            waiting.callback(None)
        return waiting

    async def _delete(self, session: Session) -> None:
        endpoint = self._endpoint
        answer = await endpoint.web.send("DELETE", endpoint.url, session.headers, None, self._brief)
        answer.abort()

    async def _within(self, seconds: float, last: Deferred[None]) -> None:
        last.addTimeout(seconds, self._endpoint.terms.clock)
        try:
            await last
        except (ClientError, CancelledError, TimeoutError):
            self._waiting = None
