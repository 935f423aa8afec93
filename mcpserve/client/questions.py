"""What a server of 2025-11-25 or before asks of the client while it works: answered side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from mcpserve.client.conversation import Host
from mcpserve.client.inflight import Work
from mcpserve.errors import ClientError, InternalError, ProtocolError
from mcpserve.protocol.jsonrpc import Request, encode_error, encode_result, is_id
from mcpserve.protocol.types import RequestId

MOST = 100
"""How many questions of one server are answered at once."""
FLOOD = 2 * MOST
"""How many may be open, those that are being refused included: a refusal takes a connection, too."""

log = Logger()

Send = Callable[[bytes], Awaitable[None] | None]


@attrs.define(eq=False)
class _Open:
    """A question that is being answered; for `owner`, if it came with a request of ours."""

    owner: object
    work: Work | None = None


class Questions:
    """The questions that are open in a session.

    Args:
        host: Who answers them.
        send: Brings an answer to the server. May raise ClientError.
    """

    def __init__(self, host: Host, send: Send) -> None:
        self._host = host
        self._send = send
        self._open: dict[RequestId, _Open] = {}

    def ask(self, question: Request, owner: object = None) -> None:
        """Answer a question, in its own time. One that is open already is not asked twice.

        Args:
            question: The question.
            owner: The request with which it came: when that is over, nobody waits for the answer any more.
        """
        key = question.id
        if len(self._open) >= FLOOD:
            log.warn("The server asks too much at once; a question ({method}) is ignored", method=question.method)
        elif key not in self._open:
            self._open[key] = opened = _Open(owner)
            opened.work = Work(self._answer(key, opened, question))
            opened.work.ended(lambda error: self._ended(key, opened, error))

    def withdraw(self, request_id: object) -> None:
        """The server does not want to know any more. Spec: Cancellation."""
        if is_id(request_id):
            self._drop(request_id)

    def forget(self, owner: object) -> None:
        """The request is over; and so are the questions that came with it."""
        if self._open:
            for key in [key for key, opened in self._open.items() if opened.owner is owner]:
                self._drop(key)

    def close(self) -> None:
        """The session is over, and so are all questions."""
        for key in list(self._open):
            self._drop(key)

    def _drop(self, key: RequestId) -> None:
        opened = self._open.pop(key, None)
        if opened is not None and opened.work is not None:
            opened.work.cancel()

    async def _answer(self, key: RequestId, opened: _Open, question: Request) -> None:
        try:
            if len(self._open) > MOST:
                raise InternalError("Too many questions are open")
            reply = encode_result(question.id, await self._host.answer(question))
        except ProtocolError as error:
            reply = encode_error(question.id, error, legacy=True)
        except CancelledError:
            if self._open.get(key) is not opened:
                return
            reply = encode_error(question.id, InternalError("The client gave up on this"), legacy=True)
        except Exception:  # Whatever goes wrong in a program's own function, the server is not left waiting.
            log.failure("A question of the server ({method}) could not be answered", method=question.method)
            reply = encode_error(question.id, InternalError("The client failed to answer"), legacy=True)
        # It may have been withdrawn while it was answered without any waiting that could be cancelled.
        if self._open.get(key) is opened:
            sent = self._send(reply)
            if sent is not None:
                await sent

    def _ended(self, key: RequestId, opened: _Open, error: BaseException | None) -> None:
        if self._open.get(key) is opened:
            del self._open[key]
        if isinstance(error, ClientError):
            log.warn("An answer did not reach the server: {reason}", reason=str(error))
