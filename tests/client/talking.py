"""A client that writes down what it hears, and a channel whose server is the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mcpserve.client.channel import MessageChannel, Receiver
from mcpserve.client.conversation import Outgoing, Running
from mcpserve.client.duplex import Duplex
from mcpserve.client.flight import Bounds
from mcpserve.client.handshake import Handshake
from mcpserve.client.limits import Limits, Retries, Timeouts
from mcpserve.errors import AnswerLost, ClientError, MethodNotFound
from mcpserve.protocol.jsonrpc import Notification, Request, Response
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import Implementation, LogLevel
from tests.client.setting import terms

MODERN = "2026-07-28"
LEGACY = "2025-11-25"


class RecordingHost:
    """Implements `Host`; answers what the test lets it answer."""

    def __init__(self, log_level: LogLevel | None = None) -> None:
        self.implementation = Implementation(name="test", version="1")
        self.capabilities: Mapping[str, Any] = {"sampling": {}}
        self.log_level = log_level
        self.notices: list[Notification] = []
        self.listens = False
        self.gaps = 0
        self.deafness: list[ClientError] = []
        self.questions: list[Request] = []
        self.replies: Callable[[Request], Awaitable[Mapping[str, Any]]] | None = None

    def heard(self, notification: Notification) -> None:
        """See `Host`."""
        self.notices.append(notification)

    def missed(self) -> None:
        """See `Host`."""
        self.gaps += 1

    def deaf(self, error: ClientError) -> None:
        """See `Host`."""
        self.listens = False
        self.deafness.append(error)

    async def answer(self, question: Request) -> Mapping[str, Any]:
        """See `Host`."""
        self.questions.append(question)
        if question.method == "ping":
            return {}
        if self.replies is None:
            raise MethodNotFound(question.method)
        return await self.replies(question)


class ScriptedChannel:
    """Implements `MessageChannel`; keeps what is sent, and says what the test says."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.sent: list[dict[str, Any]] = []
        self.pending: list[Deferred[None]] = []
        self.slow = False
        self.agreement: Revision | None = None
        self.closed = 0
        self.closing: Deferred[None] | None = None

    def send(self, message: bytes) -> Deferred[None] | None:
        """See `MessageChannel`."""
        self.sent.append(orjson.loads(message))
        if not self.slow:
            return None
        self.pending.append(Deferred())
        return self.pending[-1]

    def agreed(self, revision: Revision) -> None:
        """See `MessageChannel`."""
        self.agreement = revision

    async def close(self) -> None:
        """See `MessageChannel`."""
        self.closed += 1
        if self.closing is not None:
            await self.closing

    def say(self, **message: Any) -> None:
        """The server sends a message."""
        self.receiver.received(orjson.dumps({"jsonrpc": "2.0", **message}))

    def reply(self, result: Any, to: int = -1) -> None:
        """The server answers a request; the last one, unless told otherwise."""
        self.say(id=self.requests[to]["id"], result=result)

    def refuse(self, code: int, data: Any = None, to: int = -1) -> None:
        """The server answers with an error."""
        self.say(id=self.requests[to]["id"], error={"code": code, "message": "no", "data": data})

    def progress(self, value: float, to: int = -1, **params: Any) -> None:
        """The server tells how far it has come with a request."""
        token = self.requests[to]["params"]["_meta"]["progressToken"]
        self.say(method="notifications/progress", params={"progressToken": token, "progress": value, **params})

    def lose(self, error: ClientError | None = None) -> None:
        """The channel is gone."""
        self.receiver.lost(AnswerLost("gone") if error is None else error)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that were sent."""
        return [one for one in self.sent if "id" in one and "method" in one]

    @property
    def methods(self) -> list[str]:
        """The methods of all that was sent."""
        return [one.get("method", "a response") for one in self.sent]

    @property
    def withdrawn(self) -> list[Any]:
        """The ids of the requests that were cancelled."""
        return [one["params"]["requestId"] for one in self.sent if one.get("method") == "notifications/cancelled"]


@attrs.define
class Outcome:
    """What a coroutine came to."""

    value: Any = None
    error: BaseException | None = None
    done: bool = False
    deferred: Deferred[Any] | None = None


def outcome(coroutine: Coroutine[Deferred[Any], Any, Any]) -> Outcome:
    """Run a coroutine as far as it goes; its outcome will be in what this returns."""
    found = Outcome()

    def good(value: Any) -> None:
        found.value, found.done = value, True

    def bad(failure: Failure) -> None:
        found.error, found.done = failure.value, True

    found.deferred = Deferred.fromCoroutine(coroutine)
    found.deferred.addCallbacks(good, bad)
    return found


async def response_of(running: Running) -> Response:
    """The response to a request; what comes before is left out."""
    while True:
        message = await running.receive()
        if isinstance(message, Response):
            return message


class Talk:
    """A conversation on paper: a clock, a host, and each channel that was opened."""

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        buffer: int = 1000,
        revision: Revision | None = None,
        probes: bool = True,
        log_level: LogLevel | None = None,
    ) -> None:
        self.clock = Clock()
        self.host = RecordingHost(log_level)
        self.channels: list[ScriptedChannel] = []
        self.refusals: list[ClientError] = []
        self.closed = 0
        agreed = terms(
            self.clock,
            timeouts=timeouts or Timeouts(),
            limits=Limits(buffer=buffer),
            retries=retries or Retries(jitter=0),
        )
        bounds = Bounds(terms=agreed, peer="peer")
        self.duplex = Duplex(
            self.host,
            self._open,
            handshake=Handshake(host=self.host, bounds=bounds, transport="stdio", revision=revision, probes=probes),
            bounds=bounds,
            on_close=self._closed,
        )

    @property
    def channel(self) -> ScriptedChannel:
        """The newest channel."""
        return self.channels[-1]

    def request(self, method: str = "tools/call", **more: Any) -> Running:
        """Send a request."""
        return self.duplex.request(Outgoing(method=method, **more))

    def modern(self) -> Talk:
        """Begin with a server of 2026-07-28."""
        opening = outcome(self.duplex.open())
        self.greet()
        assert opening.done
        assert opening.error is None
        return self

    def greet(self, versions: Sequence[str] = (MODERN,)) -> None:
        """The server answers server/discover."""
        self.channel.reply({"supportedVersions": list(versions), "capabilities": {}, "resultType": "complete"})

    def legacy(self, version: str = LEGACY) -> Talk:
        """Begin with a server that has a handshake."""
        opening = outcome(self.duplex.open())
        if self.channel.methods == ["server/discover"]:
            self.channel.refuse(-32601)
        self.welcome(version)
        assert opening.done
        assert opening.error is None
        return self

    def welcome(self, version: str = LEGACY) -> None:
        """The server answers initialize."""
        info = {"name": "served", "version": "2", "title": "Served"}
        self.channel.reply({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})

    def _closed(self) -> None:
        self.closed += 1

    async def _open(self, receiver: Receiver) -> MessageChannel:
        if self.refusals:
            raise self.refusals.pop(0)
        self.channels.append(ScriptedChannel(receiver))
        return self.channels[-1]
