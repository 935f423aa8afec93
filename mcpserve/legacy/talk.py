"""A client with a handshake on a connection of its own: the connection is the session.

For stdio, and for HTTP with SSE of 2024-11-05; what differs between them is the way to the client.
Spec: 2025-11-25 and before: Lifecycle, Cancellation; 2025-03-26, Base Protocol, Batching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpserve.errors import InvalidRequest, ProtocolError
from mcpserve.legacy.batches import MOST_ELEMENTS, Again, uncounted
from mcpserve.legacy.handshake import Agreement, Handshake, agree, metadata_of
from mcpserve.legacy.requests import AskingCarrier, Requests
from mcpserve.policy.callers import Caller
from mcpserve.protocol import jsonrpc
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.jsonrpc import Batch, Message, Notification, Request
from mcpserve.server.conversation import Conversation

Answer = Callable[[bytes | None], object]


class Talk:
    """What one client says, and the answers. Implements `stdio.LegacyFace`.

    Args:
        handshake: Answers what only these revisions have.
        conversation: What is in flight on the connection.
        caller: Who is calling.
        again: Counts the requests of a batch after its first; may raise Busy.
    """

    def __init__(
        self, handshake: Handshake, conversation: Conversation, caller: Caller, again: Again = uncounted
    ) -> None:
        self._handshake = handshake
        self._conversation = conversation
        self._caller = caller
        self._again = again
        self._agreed: Agreement | None = None
        self._requests = Requests()

    def heard_from(self, caller: Caller) -> None:
        """What comes next was sent by this caller: the same party, with what it has shown now."""
        self._caller = caller
        if self._agreed is not None and self._agreed.watch is not None:
            self._agreed.watch.caller = caller

    @property
    def settled(self) -> bool:
        """See `stdio.LegacyFace`."""
        return self._agreed is not None

    def take(self, message: Message | Batch) -> None:
        """Take what the client says.

        Raises:
            ProtocolError: A request is refused, or a batch as a whole. The conversation may say so.
        """
        if isinstance(message, Request):
            self._request(message)
        elif isinstance(message, Batch):
            self._batch(message)
        elif isinstance(message, Notification):
            self._notification(message)
        else:
            self._requests.answer(message)

    def resumed(self) -> None:
        """The client caught up with reading."""
        if self._agreed is not None and self._agreed.watch is not None:
            self._agreed.watch.opened()

    def close(self) -> None:
        """The connection is gone."""
        if self._agreed is not None and self._agreed.watch is not None:
            self._agreed.watch.close()

    def _request(self, message: Request) -> None:
        if message.method == "initialize":
            self._initialize(message)
        elif self._agreed is None and message.method == "ping":
            # "The client SHOULD NOT send requests other than pings before the server has responded" (Lifecycle)
            self._conversation.say(jsonrpc.encode_result(message.id, {}))
        else:
            self._answer(message)

    def _initialize(self, message: Request) -> None:
        if self._agreed is not None:
            raise InvalidRequest("initialize was answered already on this connection")
        agreed = agree(message.params)
        self._conversation.say(self._handshake.answer(message, agreed, self._caller))
        self._agreed = agreed
        self._handshake.attend(agreed, self._caller, self._tell)

    def _answer(self, message: Request, answer: Answer | None = None) -> None:
        agreed = self._agreed
        if agreed is None:
            raise InvalidRequest("Send initialize first")
        known = metadata_of(agreed, message)

        def dispatch(exchange: Exchange) -> None:
            exchange.carrier = AskingCarrier(exchange.carrier, self._requests)
            self._handshake.dispatch(agreed, exchange, known, self._caller)

        self._conversation.take(message, agreed.revision, dispatch, answer)

    def _notification(self, message: Notification) -> None:
        if message.method == "notifications/cancelled":
            self._conversation.cancel(message.params)

    def _tell(self, message: bytes) -> bool:
        """Say what belongs to no request; while the client is behind, the one who wants to say it keeps it."""
        if self._conversation.behind:
            return False
        self._conversation.say(message)
        return True

    def _batch(self, batch: Batch) -> None:
        if self._agreed is None or not self._agreed.revision.batches:
            raise InvalidRequest("Batches are not part of this revision; send one message at a time")
        if not 0 < len(batch.items) <= MOST_ELEMENTS:
            raise InvalidRequest(f"A batch holds 1 to {MOST_ELEMENTS} messages here, not {len(batch.items)}")
        replies = Replies(self._conversation.say)
        for item in batch.items:
            self._element(item, replies)
        replies.complete()

    def _element(self, item: Any, replies: Replies) -> None:
        request_id = None
        try:
            message = jsonrpc.message_from(item)
            if isinstance(message, Request):
                request_id = message.id
                self._batched(message, replies)
            else:
                self.take(message)
        except ProtocolError as error:
            known = getattr(error, "request_id", None) if request_id is None else request_id
            replies.add(self._conversation.refusal(error, known))

    def _batched(self, message: Request, replies: Replies) -> None:
        if message.method == "initialize":
            # "The initialize request MUST NOT be part of a JSON-RPC batch" (2025-03-26, Lifecycle)
            raise InvalidRequest("initialize can't be part of a batch")
        if replies.requests:
            self._again(self._caller)
        replies.requests += 1
        replies.expect()
        try:
            self._answer(message, replies.settle)
        except ProtocolError:
            replies.settle(None)
            raise


class Replies:
    """The replies to a batch, gathered into one array.

    Args:
        say: Says the array.

    Spec: JSON-RPC 2.0, Batch: "The Server should respond with an Array ..., after all of the batch Request objects have
        been processed"; "If there are no Response objects contained within the Response array ..., the server MUST NOT
        return an empty Array and should return nothing at all."
    """

    def __init__(self, say: Callable[[bytes], object]) -> None:
        self._say = say
        self._replies: list[bytes] = []
        self._missing = 1
        self.requests = 0

    def expect(self) -> None:
        """There will be one more, or word that there will be none."""
        self._missing += 1

    def add(self, reply: bytes) -> None:
        """Here is one that nobody expected."""
        self._replies.append(reply)

    def settle(self, reply: bytes | None) -> None:
        """Here is one that was expected, or None in its place."""
        if reply is not None:
            self._replies.append(reply)
        self.complete()

    def complete(self) -> None:
        """One thing less to wait for: a reply, or the end of the batch."""
        self._missing -= 1
        if not self._missing and self._replies:
            self._say(b"[" + b",".join(self._replies) + b"]")
