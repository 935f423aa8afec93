"""The session with a server of 2025-11-25 or before: begun by a handshake; again, when the server has forgotten it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from mcpserve.client.conversation import ServerDescription
from mcpserve.client.limits import Timeouts
from mcpserve.client.posting import Endpoint, Reply, remote_error, reply_to
from mcpserve.errors import BadAnswer, ClientClosed
from mcpserve.protocol import wire
from mcpserve.protocol.jsonrpc import encode_notification
from mcpserve.protocol.metadata import is_implementation
from mcpserve.protocol.revisions import LEGACY, Revision
from mcpserve.protocol.types import Implementation

SESSION = "Mcp-Session-Id"
VERSION = "MCP-Protocol-Version"
INITIALIZED = encode_notification("notifications/initialized")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@attrs.frozen(kw_only=True, eq=False)
class Session:
    """What was agreed with a server.

    Args:
        id: What the server calls it; None if it does not keep any.
        server: What the server said of itself.
        headers: Those of all further requests.
    """

    id: str | None = attrs.field(repr=False)
    server: ServerDescription
    headers: Mapping[str, str] = attrs.field(repr=False)


async def initialize(
    endpoint: Endpoint, revision: Revision, request_id: int, timeouts: Timeouts | None = None
) -> Reply:
    """Ask for a session. No session id and no version header: "subsequent requests" carry them.

    Raises:
        ClientError: There is no answer.
    """
    params = {
        "protocolVersion": revision.name,
        "capabilities": endpoint.host.capabilities,
        "clientInfo": wire.implementation(endpoint.host.implementation),
    }
    body = orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": "initialize", "params": params})
    return await reply_to(endpoint, {}, body, timeouts)


def established(reply: Reply, name: str) -> Session:
    """The session that was begun.

    Raises:
        ClientError: None was.
    """
    response = reply.response
    if response is None:
        raise reply.error
    if response.error is not None:
        raise remote_error(response.error)
    return session_of(response.result, reply.session_id, name)


def session_of(result: Any, session_id: str | None, name: str) -> Session:
    """Read an `InitializeResult`.

    Raises:
        BadAnswer: It is none, or the server speaks another version than we do ("it SHOULD disconnect").
    """
    if not isinstance(result, dict) or not isinstance(result.get("protocolVersion"), str):
        raise BadAnswer(f"{name} answered initialize without a protocolVersion")
    revision = LEGACY.get(result["protocolVersion"])
    if revision is None:
        raise BadAnswer(
            f"{name} answered initialize with the protocol version {result['protocolVersion'][:64]!r}; "
            f"we speak {', '.join(LEGACY)}"
        )
    # "The session ID MUST only contain visible ASCII characters (ranging from 0x21 to 0x7E)."
    if session_id is not None and not _VISIBLE.fullmatch(session_id):
        raise BadAnswer(f"{name} gave a session id that no header may carry")
    headers = {} if session_id is None else {SESSION: session_id}
    if revision.version_header:
        headers[VERSION] = revision.name
    return Session(id=session_id, server=described(result, revision, result.get("serverInfo")), headers=headers)


def described(result: Mapping[str, Any], revision: Revision, info: Any) -> ServerDescription:
    """What a result of `initialize` or `server/discover` says of the server; what is malformed in it counts as absent.

    Args:
        result: The result.
        revision: What is spoken.
        info: Where it names the server.
    """
    capabilities, instructions = result.get("capabilities"), result.get("instructions")
    return ServerDescription(
        revision=revision,
        transport="streamable-http",
        implementation=implementation_of(info),
        capabilities=capabilities if isinstance(capabilities, dict) else {},
        instructions=instructions if isinstance(instructions, str) else None,
        raw=result,
    )


def implementation_of(info: Any) -> Implementation | None:
    """Read an `Implementation`; None if it is none."""
    if not is_implementation(info):
        return None
    texts = {
        ours: info[theirs]
        for ours, theirs in (("title", "title"), ("description", "description"), ("website_url", "websiteUrl"))
        if isinstance(info.get(theirs), str)
    }
    return Implementation(name=info["name"], version=info["version"], **texts)


class Sessions:
    """The session of the moment. Whoever finds it forgotten asks for a new one; all who do so share one handshake.

    Args:
        first: The one that there is.
        begin: Shakes hands.
        begun: Told of each new one.
    """

    def __init__(
        self,
        first: Session,
        begin: Callable[[], Coroutine[Deferred[Any], Any, Session]],
        begun: Callable[[Session], object],
    ) -> None:
        self.current = first
        self._begin = begin
        self._begun = begun
        self._waiters: list[Deferred[Session]] = []
        self._beginning: Deferred[None] | None = None

    async def after(self, forgotten: Session) -> Session:
        """The session that follows one that the server has forgotten.

        Cancel: Nobody else who waits for it is disturbed.

        Raises:
            ClientError: The handshake failed, for all who wait for it.
        """
        if self.current is not forgotten:
            return self.current
        waiter: Deferred[Session] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        if self._beginning is None:
            beginning = ensureDeferred(self._begin())
            self._beginning = beginning.addCallbacks(self._has_begun, self._failed)
            if beginning.called:
                self._beginning = None
        return await waiter

    def close(self) -> None:
        """Whoever waits for a session gets ClientClosed."""
        if self._beginning is not None:
            self._beginning.cancel()
        self._tell(Failure(ClientClosed("The client was closed")))

    def _has_begun(self, session: Session) -> None:
        self._beginning = None
        self.current = session
        self._begun(session)
        self._tell(session)

    def _failed(self, reason: Failure) -> None:
        self._beginning = None
        self._tell(reason)

    def _tell(self, outcome: Session | Failure) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if isinstance(outcome, Failure):
                waiter.errback(outcome)
            else:
                waiter.callback(outcome)


@attrs.define
class Kept:
    """What the user has told a session, which a new one has to be told again."""

    level: Mapping[str, Any] | None = None
    watched: dict[str, Mapping[str, Any]] = attrs.Factory(dict)

    def note(self, method: str, params: Mapping[str, Any]) -> None:
        """A request was answered with a result: remember what it has set."""
        uri = params.get("uri")
        if method == "logging/setLevel":
            self.level = params
        elif method == "resources/subscribe" and isinstance(uri, str):
            self.watched[uri] = params
        elif method == "resources/unsubscribe" and isinstance(uri, str):
            self.watched.pop(uri, None)

    def requests(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The requests that tell it again."""
        if self.level is not None:
            yield "logging/setLevel", self.level
        for params in list(self.watched.values()):
            yield "resources/subscribe", params
