"""A web that a test plays, in place of `mcpserve.client.web.Web`; and a host to talk for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mcpserve.client.limits import Terms, Timeouts
from mcpserve.client.posting import Endpoint
from mcpserve.errors import AnswerLost, ClientClosed, ClientError
from mcpserve.protocol.jsonrpc import Notification, Request
from mcpserve.protocol.sse import Event
from mcpserve.protocol.types import Implementation
from tests.client.setting import terms

URL = "http://server.example/mcp"
JSON = "application/json"
STREAM = "text/event-stream"


class ScriptedAnswer:
    """An answer whose head has come; the test gives the rest, when it likes."""

    def __init__(self, status: int, media_type: str, headers: Mapping[str, str]) -> None:
        self.status = status
        self.media_type = media_type
        self.secrets: tuple[str, ...] = ()
        self.last_event_id: str | None = None
        self.retry_ms: int | None = None
        self.aborted = False
        self.over = False
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._given: deque[Any] = deque()
        self._waiter: Deferred[Any] | None = None

    def header(self, name: str) -> str | None:
        """A header."""
        return self._headers.get(name.lower())

    async def whole(self) -> bytes:
        """The body, as given by `body`."""
        body: bytes = await self._next()
        self.over = True
        return body

    async def next_event(self) -> Event | None:
        """The next event."""
        item = await self._next()
        while isinstance(item, tuple):
            self._learn(*item)
            item = await self._next()
        if item is None:
            self.over = True
        elif item.id:
            self.last_event_id = item.id
        return item

    def abort(self) -> None:
        """Close the connection."""
        if not self.over:
            self.over = self.aborted = True
            if self._waiter is not None:
                waiter, self._waiter = self._waiter, None
                waiter.errback(Failure(AnswerLost("aborted")))

    # --- what the test gives

    def body(self, body: bytes) -> None:
        """The whole body."""
        self._give(body)

    def event(self, message: Any, id: str = "", type: str = "message") -> None:
        """An event with a message, or with these bytes."""
        data = message if isinstance(message, bytes) else orjson.dumps(message)
        self._give(Event(data, type, id or self.last_event_id or ""))

    def prime(self, id: str | None, retry_ms: int | None = None) -> None:
        """An event without data."""
        if self._waiter is not None:
            self._learn(id, retry_ms)
        else:
            self._give((id, retry_ms))

    def end(self) -> None:
        """The orderly end."""
        self._give(None)

    def lose(self, error: Exception | None = None) -> None:
        """It broke off."""
        self._give(Failure(error or AnswerLost("The connection was lost")))

    @property
    def unread(self) -> int:
        """How much was given and not taken."""
        return len(self._given)

    async def _next(self) -> Any:
        if self.aborted:
            raise AnswerLost("aborted")
        if self._given:
            item = self._given.popleft()
        else:
            self._waiter = Deferred(self._cancelled)
            item = await self._waiter
        if isinstance(item, Failure):
            self.over = True
            item.raiseException()
        return item

    def _give(self, item: Any) -> None:
        if self._waiter is None:
            self._given.append(item)
        else:
            waiter, self._waiter = self._waiter, None
            waiter.callback(item)

    def _learn(self, id: str | None, retry_ms: int | None) -> None:
        if id is not None:
            self.last_event_id = id
        if retry_ms is not None:
            self.retry_ms = retry_ms

    def _cancelled(self, waiter: Deferred[Any]) -> None:
        self._waiter = None
        self.over = self.aborted = True


@attrs.define(eq=False)
class Sent:
    """A request that the client has sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeouts: Timeouts | None
    at: float
    head: Deferred[ScriptedAnswer] = attrs.Factory(lambda: Deferred())
    cancelled: bool = False
    answer: ScriptedAnswer | None = None

    @property
    def json(self) -> Any:
        """The message in the body."""
        return orjson.loads(self.body or b"null")

    @property
    def asks(self) -> str:
        """The JSON-RPC method, or the HTTP method of what has no body."""
        return self.json.get("method", "an answer") if self.body else self.method

    def heads(self, status: int, media_type: str = "", **headers: str) -> ScriptedAnswer:
        """The head of the answer comes; `_` in names of headers stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = answer = ScriptedAnswer(status, media_type, named)
        self.head.callback(answer)
        return answer

    def answers(self, status: int, message: Any = b"", media_type: str | None = None, **headers: str) -> None:
        """The whole answer comes."""
        body = message if isinstance(message, bytes) else orjson.dumps(message)
        kind = (JSON if body else "") if media_type is None else media_type
        self.answer = answer = ScriptedAnswer(status, kind, {k.replace("_", "-"): v for k, v in headers.items()})
        answer.body(body)
        self.head.callback(answer)

    def results(self, result: Any, **headers: str) -> None:
        """The result of the request comes, as JSON."""
        self.answers(200, {"jsonrpc": "2.0", "id": self.json["id"], "result": result}, **headers)

    def errors(self, status: int, code: int, data: Any = None) -> None:
        """An error comes, as JSON."""
        error = {"code": code, "message": "no", **({} if data is None else {"data": data})}
        self.answers(status, {"jsonrpc": "2.0", "id": self.json["id"], "error": error})

    def streams(self) -> ScriptedAnswer:
        """The head of an event stream comes."""
        return self.heads(200, STREAM)

    def fails(self, error: Exception) -> None:
        """No answer comes."""
        self.head.errback(Failure(error))

    def result(self, value: Any = "done") -> dict[str, Any]:
        """The response to this request, for a stream."""
        return {"jsonrpc": "2.0", "id": self.json["id"], "result": {"value": value}}


class ScriptedWeb:
    """Keeps what the client sends for the test to answer; what `rules` has by its `asks` is answered at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[Sent] = []
        self.rules: dict[str, Callable[[Sent], object]] = {}
        self.closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeouts: Timeouts | None = None,
    ) -> ScriptedAnswer:
        """See `Web.send`."""
        if self.closed:
            raise ClientClosed("closed")
        sent = Sent(method, url, dict(headers), body, timeouts, self.clock.seconds())
        sent.head = Deferred(lambda head: setattr(sent, "cancelled", True))
        self.sent.append(sent)
        rule = self.rules.get(sent.asks)
        if rule is not None:
            rule(sent)
        return await sent.head

    def all(self, asks: str) -> list[Sent]:
        """What was sent of one kind."""
        return [sent for sent in self.sent if sent.asks == asks]

    def last(self, asks: str) -> Sent:
        """The last of its kind."""
        return self.all(asks)[-1]

    @property
    def kinds(self) -> list[str]:
        """What was sent, in order."""
        return [sent.asks for sent in self.sent]


class ScriptedHost:
    """Hears and is asked; answers when the test says so."""

    implementation = Implementation(name="test", version="1")

    def __init__(self) -> None:
        self.capabilities: Mapping[str, Any] = {"roots": {}}
        self.log_level: Any = None
        self.notices: list[Notification] = []
        self.listens = False
        self.gaps = 0
        self.deafness: list[ClientError] = []
        self.questions: list[Request] = []
        self.replies: list[Deferred[Mapping[str, Any]]] = []
        self.taken_back = 0

    def heard(self, notification: Notification) -> None:
        """See `Host.heard`."""
        self.notices.append(notification)

    def missed(self) -> None:
        """See `Host`."""
        self.gaps += 1

    def deaf(self, error: ClientError) -> None:
        """See `Host`."""
        self.listens = False
        self.deafness.append(error)

    async def answer(self, question: Request) -> Mapping[str, Any]:
        """See `Host.answer`."""
        self.questions.append(question)
        reply: Deferred[Mapping[str, Any]] = Deferred(self._taken_back)
        self.replies.append(reply)
        return await reply

    def _taken_back(self, reply: object) -> None:
        self.taken_back += 1


class Scene:
    """A client, its clock, and the web that it talks to."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.web = ScriptedWeb(self.clock)
        self.host = ScriptedHost()
        self.options = options

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint, as conversations want it."""
        web: Any = self.web
        return Endpoint(host=self.host, web=web, url=URL, terms=self.terms())

    def terms(self, revision: str | None = None) -> Terms:
        """Those on which it talks."""
        return terms(self.clock, revision=revision, random=lambda: 0.0, **self.options)


def begun(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Start it; it goes on when the test plays."""
    return ensureDeferred(coroutine)


class StillWaiting(AssertionError):
    """Nothing has come yet."""


def outcome(deferred: Deferred[Any]) -> Any:
    """What has come; raises what was raised, and StillWaiting if neither has happened."""
    found: list[Any] = []

    def keep(result: Any) -> Any:
        found.append(result)
        return None if isinstance(result, Failure) else result

    deferred.addBoth(keep)
    if not found:
        raise StillWaiting
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it gives, without waiting."""
    return outcome(ensureDeferred(coroutine))


def progress(token: Any, value: float) -> dict[str, Any]:
    """A progress notification."""
    params = {"progressToken": token, "progress": value}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def note(text: str) -> dict[str, Any]:
    """A log message."""
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": text}}
