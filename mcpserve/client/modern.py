"""The conversation with a server of 2026-07-28: each request stands alone, in a POST of its own.

Spec: 2026-07-28, Streamable HTTP; Versioning, Protocol Version Negotiation; Cancellation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import attrs
import orjson
from twisted.internet.task import deferLater

from mcpserve.client.conversation import Host, Outgoing, ServerDescription
from mcpserve.client.dressing import dressed, modern_meta
from mcpserve.client.inflight import InFlight
from mcpserve.client.messages import UNSUPPORTED_VERSION, error_code, read, supported_versions
from mcpserve.client.posting import POST_HEADERS, Endpoint, finish, is_stream, refusal, succeeded, tell
from mcpserve.client.web import Answer
from mcpserve.errors import AnswerLost, BadAnswer, ClientClosed, Unreachable
from mcpserve.protocol.jsonrpc import Notification, Response
from mcpserve.protocol.mirroring import encode_value
from mcpserve.protocol.revisions import MODERN, Revision

_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The param that `Mcp-Name` mirrors, by method. Spec: Standard Request Headers; for tasks, the extension."""
_METHOD = re.compile(r"[\x21-\x7e]+")
_DOUBTFUL = (400, 404, 405, 410)
"""A server of this era says these with a JSON-RPC error; without one, it may not be of this era any more."""


@attrs.frozen(kw_only=True)
class Envelope:
    """A request as it goes over the wire."""

    id: int
    headers: Mapping[str, str]
    body: bytes


def envelope(outgoing: Outgoing, host: Host, revision: Revision, request_id: int) -> Envelope:
    """Write a request down.

    Raises:
        ValueError: The method, or a name, can't be said in a header.
        TypeError: The params are not JSON.
    """
    params = dressed(outgoing, host, revision, request_id)
    body = orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": outgoing.method, "params": params})
    headers = {**POST_HEADERS, **_mirrored(outgoing.method, params, revision), **outgoing.mirrored}
    return Envelope(id=request_id, headers=headers, body=body)


def _mirrored(method: str, params: Mapping[str, Any], revision: Revision) -> dict[str, str]:
    """The headers that say what the body says. Spec: Request Metadata."""
    if not _METHOD.fullmatch(method):
        raise ValueError(f"The method {method!r} can't be said in a header: it must be visible ASCII")
    headers = {"MCP-Protocol-Version": revision.name, "Mcp-Method": method}
    name = params.get(_NAMED.get(method, ""))
    if isinstance(name, str):
        headers["Mcp-Name"] = encode_value(name)
    return headers


def mutual(names: Sequence[str]) -> Revision | None:
    """The newest of these versions that we speak in this way."""
    return max((MODERN[name] for name in names if name in MODERN), key=lambda found: found.name, default=None)


class Modern:
    """Talks to a server that keeps nothing; see `mcpserve.client.conversation.Conversation`.

    Args:
        endpoint: The server.
        server: What it says of itself.
        ids: Gives the ids of requests; each one once.
        doubted: Called when the server answers as none of this era does.
    """

    def __init__(
        self, endpoint: Endpoint, server: ServerDescription, ids: Iterator[int], doubted: Callable[[], object]
    ) -> None:
        self._endpoint = endpoint
        self._server = server
        self._ids = ids
        self._doubted = doubted
        self._open: set[InFlight] = set()
        self._closed = False

    @property
    def server(self) -> ServerDescription:
        """What the server says of itself."""
        return self._server

    def request(self, outgoing: Outgoing) -> InFlight:
        """Send a request; see `Conversation.request`."""
        flight = InFlight(self._endpoint.terms.limits.buffer)
        if self._closed:
            flight.close()
        else:
            self._open.add(flight)
            flight.start(self._work(flight, outgoing), lambda: self._open.discard(flight))
        return flight

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification; see `Conversation.notify`.

        This revision has none that a client would send over HTTP, and fixes no headers for them: they are as those of
        requests.
        """
        if self._closed:
            raise ClientClosed("The client was closed")
        revision = self._server.revision
        meta = {**params.get("_meta", {}), **modern_meta(self._endpoint.host, revision)}
        body = orjson.dumps({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}})
        await tell(self._endpoint, _mirrored(method, params, revision), body, None)

    async def close(self) -> None:
        """Cancel what runs; see `Conversation.close`."""
        self._closed = True
        for flight in list(self._open):
            flight.close()

    # --- a request

    async def _work(self, flight: InFlight, outgoing: Outgoing) -> None:
        retries, failures = self._endpoint.terms.retries, 0
        while True:
            try:
                return await self._ask(flight, outgoing)
            except (AnswerLost, Unreachable) as error:
                never_sent = failures == 0 and isinstance(error, Unreachable)
                if never_sent or not (outgoing.repeatable and flight.fresh) or failures >= retries.attempts:
                    raise
                await deferLater(self._endpoint.terms.clock, retries.delay(failures, self._endpoint.terms.random()))
                failures += 1

    async def _ask(self, flight: InFlight, outgoing: Outgoing) -> None:
        """Ask, and once more if the server wants another version.

        "The client SHOULD select a mutually supported version from the `supported` list and retry the request".
        """
        if not await self._attempt(flight, outgoing, may_change=True):
            await self._attempt(flight, outgoing, may_change=False)

    async def _attempt(self, flight: InFlight, outgoing: Outgoing, may_change: bool) -> bool:
        """Send the request and take its answer; False if it is to be sent again, in the version that is set by now."""
        request_id = next(self._ids)
        answer = await self._send(outgoing, request_id)
        try:
            streams = is_stream(answer)
            response = await (self._follow if streams else self._read)(flight, answer, request_id, outgoing.method)
            if may_change and flight.fresh and self._changed(response):
                return False
            await flight.deliver(response, 0)
            if streams:
                await finish(answer, self._endpoint.terms.clock)
            return True
        finally:
            answer.abort()

    async def _send(self, outgoing: Outgoing, request_id: int) -> Answer:
        """Send the request; a call of its own, so that what was said is not kept until a long answer has come."""
        sent = envelope(outgoing, self._endpoint.host, self._server.revision, request_id)
        return await self._endpoint.web.send("POST", self._endpoint.url, sent.headers, sent.body, outgoing.timeouts)

    def _changed(self, response: Response) -> bool:
        """Tell whether the server wants another version; then it is the one of all further requests."""
        if response.error is None or error_code(response.error) != UNSUPPORTED_VERSION:
            return False
        revision = mutual(supported_versions(response.error))
        if revision is None:
            self._doubted()
            return False
        self._server = attrs.evolve(self._server, revision=revision)
        return True

    async def _read(self, flight: InFlight, answer: Answer, request_id: int, method: str) -> Response:
        """Take an answer in one piece."""
        if not succeeded(answer):
            refused = await refusal(answer, self._endpoint.name)
            if isinstance(refused, Response):
                return refused
            if answer.status in _DOUBTFUL:
                self._doubted()
            raise refused
        body = await answer.whole()
        messages = read(body) if body.strip() else ()
        if len(messages) == 1 and _is_response(messages[0], request_id):
            return messages[0]
        raise BadAnswer(f"{self._endpoint.name} answered {method} with {answer.status} but without a response")

    async def _follow(self, flight: InFlight, answer: Answer, request_id: int, method: str) -> Response:
        """Take a stream of events, up to the response."""
        while True:
            event = await answer.next_event()
            if event is None:
                raise AnswerLost(f"{self._endpoint.name} ended the stream of {method} before its result came")
            if event.type != "message":
                continue
            for message in read(event.data):
                if isinstance(message, Notification):
                    await flight.deliver(message, len(event.data))
                elif _is_response(message, request_id):
                    return message
                else:
                    # "The server MUST NOT send independent JSON-RPC requests on this stream."
                    raise BadAnswer(f"{self._endpoint.name} sent something on the stream of {method} that is not its")


def _is_response(message: object, request_id: int) -> TypeGuard[Response]:
    """Tell whether this answers the request; an error without an id does, as there is nothing else that it could."""
    return isinstance(message, Response) and (
        message.id == request_id or (message.id is None and message.error is not None)
    )
