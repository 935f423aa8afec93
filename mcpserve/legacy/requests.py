"""Requests of this server to a client with a handshake, and how the answers find their way back.

They travel on the stream of the call that asks, and nowhere else; the client answers with a message of its own. What is
answered twice, or was taken back, or never asked, is dropped.

Spec: 2025-11-25, Transports, Listening for Messages from the Server; Cancellation.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import orjson

from mcpserve.errors import AskError
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.exchange import NO_HEADERS, Carrier, Resumable
from mcpserve.protocol.inputs import InputRequest
from mcpserve.protocol.jsonrpc import Response


class Requests:
    """What one client was asked, and has not answered yet.

    Args:
        prefix: Begins every id, so that one that was given before a restart is not given again. Spec: "The request ID
            MUST NOT have been previously used by the requestor within the same session."
    """

    def __init__(self, prefix: str | None = None) -> None:
        self._prefix = secrets.token_hex(4) if prefix is None else prefix
        self._number = 0
        self._waiting: dict[str, Callable[[Response], object]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, question: InputRequest, answered: Callable[[Response], object]) -> tuple[str, bytes]:
        """Make a request of a question.

        Returns:
            Its id, and the bytes to send.
        """
        self._number += 1
        request_id = f"{self._prefix}-{self._number}"
        message = orjson.dumps({"jsonrpc": "2.0", "id": request_id, **question.shape})
        self._waiting[request_id] = answered
        return request_id, message

    def answer(self, response: Response) -> None:
        """The client has answered; nothing happens if nobody waits for it."""
        answered = self._waiting.pop(response.id, None) if isinstance(response.id, str) else None
        if answered is not None:
            answered(response)

    def take_back(self, request_id: str) -> bool:
        """Nobody waits for this one any more. False if it was answered or taken back before."""
        return self._waiting.pop(request_id, None) is not None


class AskingCarrier:
    """A carrier, and with it the questions of its call, which takes what goes beside them.

    Implements `protocol.exchange.Carrier`, `Asker` and `Resumable`.


    Args:
        carrier: What carries everything else, and the questions among it.
        requests: Where the answers come in.
        streams: False when the client takes nothing but the reply.
    """

    __slots__ = ("_carrier", "_requests", "_streams")

    def __init__(self, carrier: Carrier, requests: Requests, streams: bool = True) -> None:
        self._carrier = carrier
        self._requests = requests
        self._streams = streams

    def notify(self, message: bytes, replaceable: bool) -> None:
        """See `Carrier.notify`."""
        self._carrier.notify(message, replaceable)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """See `Carrier.reply`."""
        self._carrier.reply(message, status, headers)

    def end(self) -> None:
        """See `Carrier.end`."""
        self._carrier.end()

    def close_stream(self, retry_ms: int | None) -> None:
        """See `Resumable.close_stream`."""
        if isinstance(self._carrier, Resumable):
            self._carrier.close_stream(retry_ms)

    def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
        """See `Asker.ask`."""
        if not self._streams:
            raise AskError("This client can't be asked: it takes the reply as JSON, and nothing before it")
        request_id, message = self._requests.open(question, answered)
        self._carrier.notify(message, False)
        return lambda heard: self._take_back(request_id, heard)

    def _take_back(self, request_id: str, heard: bool) -> None:
        """Forget a question; while the call goes on its client is told, so that it need not ask its user any more.

        Spec: Cancellation: "When a party wants to cancel an in-progress request, it sends a notifications/cancelled
        notification".
        """
        if self._requests.take_back(request_id) and heard:
            params = {"requestId": request_id, "reason": "No longer needed"}
            self._carrier.notify(jsonrpc.encode_notification("notifications/cancelled", params), False)
