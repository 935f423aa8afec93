"""A conversation that a test plays: the client asks, and the test says what the server would."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mcpserve.client import Client, ServerDescription
from mcpserve.client.conversation import Host, Outgoing
from mcpserve.client.limits import Terms
from mcpserve.errors import ClientClosed
from mcpserve.protocol.jsonrpc import Notification, Request, Response
from mcpserve.protocol.revisions import V2025_11_25, V2026_07_28, Revision
from tests.client.scripted_web import StillWaiting, begun, now, outcome

__all__ = ["V2025_11_25", "V2026_07_28", "Play", "StillWaiting", "begun", "now", "outcome", "text", "wants"]

EVERYTHING = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "logging": {},
    "completions": {},
}


def text(words: str) -> dict[str, Any]:
    """A result that says so."""
    return {"content": [{"type": "text", "text": words}]}


def wants(state: str | None = None, **requests: Any) -> dict[str, Any]:
    """A result that wants input: by key, each a method and its params."""
    asked = {key: {"method": method, "params": params} for key, (method, params) in requests.items()}
    shape: dict[str, Any] = {"resultType": "input_required"}
    if asked:
        shape["inputRequests"] = asked
    return shape if state is None else {**shape, "requestState": state}


class ScriptedRunning:
    """A request on its way. Implements `Running`, as strictly as its words are."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.cancelled: list[str | None] = []
        """The reasons of cancellations before the response."""
        self.late = 0
        """How often it was cancelled after its end."""
        self.taken = 0
        self._said: deque[Notification | Response | Exception] = deque()
        self._waiting: Deferred[None] | None = None
        self._over = False

    @property
    def params(self) -> Mapping[str, Any]:
        """What was sent."""
        return self.outgoing.params

    async def receive(self) -> Notification | Response:
        """See `Running`."""
        assert self._waiting is None, "two receive at once"
        assert not self._over, "nothing is received after the end"
        if not self._said:
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        said = self._said.popleft()
        self.taken += 1
        if isinstance(said, Exception):
            self._over = True
            raise said
        self._over = isinstance(said, Response)
        return said

    def cancel(self, reason: str | None = None) -> None:
        """See `Running`."""
        if self._over:
            self.late += 1
            return
        self.cancelled.append(reason)
        self._over = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(CancelledError())

    # --- what the server says

    def say(self, said: Notification | Response | Exception) -> None:
        """Something comes."""
        self._said.append(said)
        if self._waiting is not None:
            self._waiting.callback(None)

    def notify(self, method: str, **params: Any) -> None:
        """A notification."""
        self.say(Notification(f"notifications/{method}", params))

    def progress(self, value: float, **more: Any) -> None:
        """Progress."""
        self.notify("progress", progressToken=1, progress=value, **more)

    def answer(self, result: Any) -> None:
        """A result."""
        self.say(Response(1, result))

    def refuse(self, code: int, message: str = "no", **more: Any) -> None:
        """An error."""
        self.say(Response(1, error={"code": code, "message": message, **more}))


class Play:
    """A client, and the conversation that it has; see `Conversation` and `Opening`.

    Args:
        revision: What is spoken.
        transport: Over what.
        declares: What capabilities the server declares.
        replies: What is answered at once, by method.
        options: Of the client.
    """

    def __init__(
        self,
        revision: Revision = V2026_07_28,
        *,
        transport: str = "streamable-http",
        declares: Mapping[str, Any] = EVERYTHING,
        replies: Mapping[str, Any] | None = None,
        opened: bool = True,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.server = ServerDescription(
            revision=revision,
            transport=transport,
            implementation=None,
            capabilities=declares,
            instructions=None,
            raw={},
        )
        self.runs: list[ScriptedRunning] = []
        self.notified: list[tuple[str, Mapping[str, Any]]] = []
        self.ends: list[str] = []
        """What was closed, in order."""
        self.replies = dict(replies or {})
        self.gate: Deferred[None] | None = None
        self.farewell: Deferred[None] | None = None
        """What opening waits for, if it is set."""
        self.client = Client.through(self, reactor=self.clock, random=lambda: 0.0, **options)
        if opened:
            now(self.client.open())

    # --- Opening

    async def open(self, host: Host, terms: Terms) -> Play:
        """See `Opening`."""
        self.host = host
        if self.gate is not None:
            await self.gate
        return self

    async def close(self) -> None:
        """See `Opening`, and `Conversation`: it is closed first, and what runs gets to know."""
        if self.farewell is not None:
            await self.farewell
        self.ends.append("closed")
        for run in self.runs:
            if not run._over and run._waiting is not None:
                run.say(ClientClosed("The client was closed"))

    # --- Conversation

    def request(self, outgoing: Outgoing) -> ScriptedRunning:
        """See `Conversation`."""
        run = ScriptedRunning(outgoing)
        self.runs.append(run)
        reply = self.replies.get(outgoing.method)
        if isinstance(reply, list):
            reply = reply.pop(0)
        if callable(reply):
            reply = reply(outgoing)
        if reply is not None:
            run.say(reply) if isinstance(reply, Response | Exception) else run.answer(reply)
        return run

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """See `Conversation`."""
        self.notified.append((method, params))

    # --- what a test looks at

    @property
    def run(self) -> ScriptedRunning:
        """The last request."""
        return self.runs[-1]

    def sent(self, method: str) -> Sequence[ScriptedRunning]:
        """The requests of a method."""
        return [run for run in self.runs if run.outgoing.method == method]

    def tell(self, method: str, **params: Any) -> None:
        """The server says something that belongs to no request."""
        self.host.heard(Notification(f"notifications/{method}", params))

    def ask(self, method: str, **params: Any) -> Deferred[Any]:
        """The server asks something in a session."""
        return begun(self.host.answer(Request(1, method, params)))
