"""A whole server in memory: the real Klein app on the real site, a clock that the test moves, no sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock, LoopingCall

from mcpserve.features.call import Runtime
from mcpserve.features.discovery import collect
from mcpserve.features.timing import TimingWheel
from mcpserve.legacy.face import SessionFace
from mcpserve.legacy.handshake import Handshake
from mcpserve.legacy.http_sse import HttpSse, HttpSseLimits
from mcpserve.legacy.session import SessionLimits
from mcpserve.legacy.sessions import Sessions
from mcpserve.policy.access import Access
from mcpserve.policy.origins import Origins
from mcpserve.policy.proxies import Proxies
from mcpserve.policy.rates import Rates, ToolRates
from mcpserve.protocol.notices import FILTER_KEYS, Notice
from mcpserve.protocol.tasks import TASK_IDS
from mcpserve.protocol.types import Implementation
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import CallLimits, Calls
from mcpserve.server.dispatch import Dispatcher, Feature
from mcpserve.server.features import PluginFeatures
from mcpserve.server.observing import Observer
from mcpserve.server.permits import Permits
from mcpserve.server.publisher import Publisher
from mcpserve.server.subscriptions import SubscriptionLimits, Subscriptions
from mcpserve.server.tasks import TaskLimits, Tasks
from mcpserve.stores.sessions import Journal
from mcpserve.web.admission import Admission, Identity
from mcpserve.web.cors import Cors
from mcpserve.web.crowd import CrowdLimits
from mcpserve.web.endpoint import Endpoint, LegacyFace, answer_error, site_refusal
from mcpserve.web.response import StreamLimits, Turns
from mcpserve.web.routing import RoutedResource
from mcpserve.web.sight import Sight
from mcpserve.web.site import HttpLimits, McpSite
from tests.wire.http import CLIENT_ADDRESS, Peer

MODERN = "2026-07-28"
LATEST_LEGACY = "2025-11-25"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", LATEST_LEGACY)
PREFIX = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, INFO = PREFIX + "protocolVersion", PREFIX + "clientCapabilities", PREFIX + "clientInfo"
CLIENT = {"name": "test", "version": "1"}
TASK_METHODS = ("tasks/get", "tasks/update", "tasks/cancel")
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri", **dict.fromkeys(TASK_METHODS, "taskId")}

Headers = Mapping[str, str | Sequence[str] | None]
"""Headers by name: None leaves out one that would be sent, a list sends one several times."""
NOTHING: Mapping[str, Any] = MappingProxyType({})

BASE: Headers = {
    "Host": "127.0.0.1:8000",
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}


class NoThreads:
    """Runs at once what would run in a thread."""

    def run(self, f: Callable[[], Any]) -> Deferred[Any]:
        """Run it."""
        return maybeDeferred(f)

    def call_in_reactor(self, f: Callable[..., object], *args: object) -> None:
        """Call it."""
        f(*args)


@attrs.frozen(kw_only=True)
class Limits:
    """All limits of a server."""

    http: HttpLimits = attrs.field(factory=HttpLimits)
    stream: StreamLimits = attrs.field(factory=StreamLimits)
    sessions: SessionLimits = attrs.field(factory=SessionLimits)
    calls: CallLimits = attrs.field(factory=CallLimits)
    tasks: TaskLimits = attrs.field(factory=TaskLimits)
    subscriptions: SubscriptionLimits = attrs.field(factory=SubscriptionLimits)
    http_sse: HttpSseLimits = attrs.field(factory=HttpSseLimits)
    crowd: CrowdLimits = attrs.field(factory=CrowdLimits)
    rates: Rates = attrs.field(factory=Rates)
    tool_rates: ToolRates | None = None
    page_size: int = 250


class Server:
    """A server with these tools (decorated functions).

    Args:
        limits: All limits.
        origins: Who is let in.
        legacy: Whether the revisions with a handshake are served.
        features: What else is served.
        http_sse: Whether HTTP with SSE of 2024-11-05 is served, too.
        journal: Makes the journal of sessions for a clock, if they are written down; those in it are restored.
        now: The time.
        access: Who may use what.
        identity: Makes what finds out who is calling, for a clock; by default nobody is asked.
        wrap: Comes between the endpoint and the face of the revisions with a handshake.
        proxies: Addresses and networks of trusted proxies.
        credentials: Whether pages may have the browser send cookies along.
        observer: Who watches.
    """

    def __init__(
        self,
        *functions: Any,
        limits: Limits = Limits(),
        origins: Origins | None = None,
        legacy: bool = True,
        features: Sequence[Feature] = (),
        http_sse: bool = False,
        journal: Callable[[Clock], Journal | None] = lambda clock: None,
        now: float = 0.0,
        access: Access | None = None,
        identity: Callable[[Clock], Identity | None] = lambda clock: None,
        wrap: Callable[[LegacyFace], LegacyFace] = lambda face: face,
        proxies: Sequence[str] = (),
        credentials: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(now)
        self.wheel = TimingWheel(self.clock)
        envelope = Envelope(Implementation(name="tested", version="1"))
        runtime = Runtime(clock=self.clock, wheel=self.wheel, threads=NoThreads())
        self.calls = Calls(runtime, limits.calls, limits.tool_rates, observer)
        self.publisher = Publisher(lambda f: self.clock.callLater(0, f))
        self.tasks = Tasks(envelope, runtime, limits.tasks, publisher=self.publisher)
        self.features = own = PluginFeatures(
            collect(functions, "test", limits.page_size), envelope, self.calls, self.tasks, Permits(access or Access())
        )
        self.tools = own.tools
        features = [*own, self.tasks, *features]
        self.subscriptions = Subscriptions(
            self.publisher,
            envelope,
            features,
            limits.subscriptions,
            keys=(*FILTER_KEYS, TASK_IDS),
            admission={TASK_IDS.name: self.tasks.admit},
            knows=own.knows,
            tells=own.tells,
        )
        self.dispatcher = dispatcher = Dispatcher([*features, self.subscriptions], envelope, "Be kind.", observer)
        self.turns = Turns(self.clock, limits.stream)
        self.sessions = Sessions(self.clock, limits.sessions, journal(self.clock))
        trusted = Proxies(proxies)
        self.admission = Admission(
            origins or Origins(), identity(self.clock), Sight(trusted), limits.rates, self.clock.seconds
        )
        again = self.admission.again
        face = SessionFace(dispatcher, self.sessions, self.turns, self.subscriptions, again) if legacy else None
        endpoint = Endpoint(dispatcher, self.admission, self.turns, face and wrap(face))
        self.http_sse = HttpSse(Handshake(dispatcher, self.subscriptions), self.admission, self.turns, limits.http_sse)
        cors = Cors(self.admission.origins, self.admission.check_origin, answer_error, credentials)
        others = self.http_sse.places() if http_sse else {}
        resource = RoutedResource(endpoint.app, others=others, preflight=cors.preflight)
        self.site = McpSite(
            resource,
            clock=self.clock,
            limits=limits.http,
            refusal=site_refusal,
            crowd=limits.crowd,
            proxies=trusted,
            dress=cors.headers,
            observer=observer,
        )
        self.site.startFactory()
        if face is not None:
            face.restore()

    # --- time

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)

    def seconds(self, number: float, step: float = 1.0) -> None:
        """Let seconds pass, step by step."""
        steps, rest = divmod(number, step)
        self.clock.pump([step] * int(steps) + [rest])

    def leftovers(self) -> Sequence[str]:
        """What there is beside the site's own sweep: delayed calls, timers, calls, responses."""
        delayed = [call for call in self.clock.getDelayedCalls() if not isinstance(call.func, LoopingCall)]
        timers = [f"{len(self.wheel)} timers"] if len(self.wheel) else []
        running = [f"running {running.served.name}" for running in self.calls.running]
        return [*map(str, delayed), *timers, *running, *map(str, self.turns.open_writers)]

    # --- requests

    def connect(self, buffer: int = 1024, address: str | None = CLIENT_ADDRESS) -> Peer:
        """Open a connection, from this address or by a UNIX socket."""
        return Peer(self.site, self.clock, buffer, address)

    def http(
        self, method: str, headers: Headers = NOTHING, body: bytes = b"", path: str = "/mcp", peer: Peer | None = None
    ) -> Peer:
        """Send an HTTP request on a connection of its own, or on `peer`."""
        peer = peer or self.connect()
        length = {"Content-Length": str(len(body))} if body or method == "POST" else {}
        peer.send(head(method, path, {**BASE, **length, **headers}) + body)
        return peer

    def post(self, message: Any, headers: Headers = NOTHING, peer: Peer | None = None) -> Peer:
        """POST a message as it is, or bytes."""
        return self.http("POST", headers, message if isinstance(message, bytes) else orjson.dumps(message), peer=peer)

    def modern(
        self,
        method: str,
        params: Mapping[str, Any] = NOTHING,
        *,
        meta: Mapping[str, Any] = NOTHING,
        headers: Headers = NOTHING,
        peer: Peer | None = None,
        **members: Any,
    ) -> Peer:
        """Send a modern request that is all right but for what is changed in it.

        Args:
            method: The method.
            params: Its params.
            meta: Changes to `_meta`; `...` as a value takes a key out.
            headers: Changes to the headers.
            peer: Where to send it, if not on a new connection.
            members: Changes to the message itself, such as `id`.
        """
        full = {VERSION: MODERN, CAPABILITIES: {}, INFO: CLIENT, **meta}
        params = {**params, "_meta": {key: value for key, value in full.items() if value is not ...}}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **members}
        mirrored = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if method in NAMED and isinstance(name := params.get(NAMED[method]), str):
            mirrored["Mcp-Name"] = name
        return self.post(message, {**mirrored, **headers}, peer)

    def call(self, tool: str, arguments: Any = None, *, token: Any = None, **more: Any) -> Peer:
        """Call a tool, modern."""
        meta = {**({} if token is None else {"progressToken": token}), **more.pop("meta", {})}
        return self.modern("tools/call", call_params(tool, arguments), meta=meta, **more)

    def listen(self, notifications: Any, **more: Any) -> Peer:
        """Ask to listen for these notifications, modern."""
        return self.modern("subscriptions/listen", {"notifications": notifications}, **more)

    def tell(self, *notices: Notice) -> None:
        """Publish, and let the reactor turn."""
        for notice in notices:
            self.publisher.publish(notice)
        self.turn()

    def initialize(self, version: str = LATEST_LEGACY, headers: Headers = NOTHING, **params: Any) -> Peer:
        """Ask for a session."""
        wanted = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT, **params}
        return self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": wanted}, headers)

    def session(self, version: str = LATEST_LEGACY) -> Session:
        """Begin a session, handshake and all."""
        answer = self.initialize(version)
        session = Session(self, answer.headers["mcp-session-id"], version)
        assert session.notify("notifications/initialized").status == 202
        return session


@attrs.frozen
class Session:
    """A legacy client after its handshake."""

    server: Server
    id: str
    version: str

    @property
    def headers(self) -> Headers:
        """What it sends with each request."""
        return {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": self.version}

    def post(self, message: Any, headers: Headers = NOTHING, peer: Peer | None = None) -> Peer:
        """POST a message as it is."""
        return self.server.post(message, {**self.headers, **headers}, peer)

    def ask(
        self, method: str, params: Any = None, *, id: Any = 1, headers: Headers = NOTHING, peer: Peer | None = None
    ) -> Peer:
        """Send a request."""
        return self.post(request(method, params, id), headers, peer)

    def call(self, tool: str, arguments: Any = None, *, token: Any = None, **more: Any) -> Peer:
        """Call a tool."""
        return self.ask("tools/call", call_params(tool, arguments, token), **more)

    def notify(self, method: str, params: Any = None) -> Peer:
        """Send a notification."""
        message = request(method, params, None)
        del message["id"]
        return self.post(message)

    def get(self, last_event_id: str | None = None, headers: Headers = NOTHING, peer: Peer | None = None) -> Peer:
        """Open the standalone stream, or take a stream up."""
        resumed = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        return self.server.http("GET", {**self.headers, **resumed, **headers}, peer=peer)

    def delete(self) -> Peer:
        """End the session."""
        return self.server.http("DELETE", self.headers)


def request(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    """A request as legacy clients send it."""
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else {**message, "params": params}


def call_params(tool: str, arguments: Any = None, token: Any = None) -> dict[str, Any]:
    """The params of tools/call."""
    params: dict[str, Any] = {"name": tool, "arguments": {} if arguments is None else arguments}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return params


def head(method: str, path: str, headers: Headers) -> bytes:
    """The head of a request, as it travels."""
    lines = [f"{method} {path} HTTP/1.1"]
    for name, value in headers.items():
        values = [] if value is None else [value] if isinstance(value, str) else value
        lines += [f"{name}: {one}" for one in values]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
