"""The client: point it at a server, and call its tools."""

from __future__ import annotations

import random as chance
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any, ClassVar, Literal, Self, TypeVar

import attrs
from twisted.web.iweb import IAgent

from mcpserve.client.answering import Elicit, Handlers, Roots, Sample, Visit
from mcpserve.client.calls import ToolStream, event_of, tool_result, understood
from mcpserve.client.conversation import ServerDescription
from mcpserve.client.credentials import Credentials
from mcpserve.client.eras import Eras
from mcpserve.client.hosting import Hosting
from mcpserve.client.limits import Limits, Retries, Terms, Timeouts
from mcpserve.client.line import Line
from mcpserve.client.listening import Subscription, filter_of
from mcpserve.client.opening import Opening, OverHttp
from mcpserve.client.values import LogMessage, Progress, PromptResult
from mcpserve.client.ways import OnNotice, Ways
from mcpserve.errors import BadAnswer
from mcpserve.protocol import reading
from mcpserve.protocol.jsonrpc import Notification
from mcpserve.protocol.metadata import SERVER_INFO
from mcpserve.protocol.types import (
    Completion,
    Contents,
    Implementation,
    LogLevel,
    PromptDefinition,
    ResourceDefinition,
    Result,
    ToolDefinition,
)

T = TypeVar("T")
H = TypeVar("H")
OnProgress = Callable[[Progress], None]
OnLog = Callable[[LogMessage], None]
TIMEOUTS, LIMITS, RETRIES = Timeouts(), Limits(), Retries()
VERSION = version_of("mcpserve")
_NOTHING: Mapping[str, Any] = {}


class Client(Ways):
    """Talks to one MCP server, of whatever revision, over HTTP, HTTP+SSE or the standard streams of a child process.

        async with Client("https://example.org/mcp") as client:
            result = await client.call_tool("add", {"a": 1, "b": 2})
            async for event in client.stream_tool("count", {"to": 10}):
                print(event)

    Everything that fails raises a `ClientError` of `mcpserve.errors`. Cancelling what you await, a timeout, or breaking
    out of a loop over a stream cancels the call on the server, at once.

    Args:
        url: The server's URL, http: or https:; or another way to it.
        agent: What makes HTTP requests, instead of our own.
        credentials: What adds credentials to requests and answers challenges; see `mcpserve.client.credentials`.
        headers: More headers of each HTTP request.
        eras: What is remembered of the eras of servers; hand the same to several clients.
        reactor: Time and connections; by default the one that is installed.
        elicit: Fills in forms for the server. Each handler may return a value, a Deferred, or be an `async def`; a
            handler that is not given is not declared, and the server does not ask.
        visit: Has the user visit a page for the server; says "accept" when the user agrees, not when it is done.
        sample: Completes a conversation with a model for the server.
        roots: The directories that matter, or what gives them.
        capabilities: More to declare, such as `{"sampling": {"tools": {}}}` or extensions.
        on_notice: Gets what the server says that belongs to no call.
        timeouts: How long to wait.
        limits: How much to take.
        retries: How often to try.
        revision: The one revision to speak, such as "2025-11-25"; by default what both sides know best.
        name: What the client calls itself.
        version: Its version.
        log_level: The least severe log messages that are wanted. None leaves it to the server; in 2026-07-28 none come.
        random: Gives a number from 0 to 1, for the jitter of waiting times.
    """

    def __init__(
        self,
        url: str | Opening,
        *,
        agent: IAgent | None = None,
        credentials: Credentials | None = None,
        headers: Mapping[str, str] | None = None,
        eras: Eras | None = None,
        reactor: Any = None,
        elicit: Elicit | None = None,
        visit: Visit | None = None,
        sample: Sample | None = None,
        roots: Roots | None = None,
        capabilities: Mapping[str, Any] | None = None,
        on_notice: OnNotice | None = None,
        timeouts: Timeouts = TIMEOUTS,
        limits: Limits = LIMITS,
        retries: Retries = RETRIES,
        revision: str | None = None,
        name: str = "mcpserve",
        version: str = VERSION,
        log_level: LogLevel | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        handlers = Handlers(
            elicit=self._handler(elicit),
            visit=self._handler(visit),
            sample=self._handler(sample),
            roots=self._handler(roots) if callable(roots) else roots,
            more=capabilities or {},
        )
        opening = (
            OverHttp(url, agent=agent, credentials=credentials, headers=headers or {}, eras=eras)
            if isinstance(url, str)
            else url
        )
        self._reactor: Any = self._usual_reactor() if reactor is None else reactor
        terms = Terms(
            reactor=self._reactor,
            timeouts=timeouts,
            limits=limits,
            retries=retries,
            revision=revision,
            random=random,
        )
        self._host = Hosting(Implementation(name=name, version=version), handlers, log_level, self._ear(on_notice))
        self._line = Line(opening, terms, self._host, handlers.input_responses)

    # --- life

    async def open(self) -> Self:
        """Connect, find out what the server speaks, shake hands if it wants that.

        Cancel: The client is closed.

        Raises:
            Unreachable, DeadlinePassed, Unauthorized, Refused, BadAnswer, RemoteError: It did not come about.
        """
        await self._line.open()
        return self

    async def close(self) -> None:
        """Cancel all that runs, end the session, leave nothing in the reactor; within `timeouts.close`, never raises.

        A closed client stays closed. What still waits for an answer raises `ClientClosed`. It may be called again, also
        while it is under way: each call returns when nothing is left.

        Cancel: It is not waited for any more.
        """
        await self._line.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *reason: object) -> None:
        await self.close()

    @property
    def server(self) -> ServerDescription:
        """What the server says of itself.

        Raises:
            ClientClosed: The client is not open.
        """
        return self._line.conversation.server

    # --- what the server has

    async def discover(self) -> ServerDescription:
        """Ask the server again what it is and can; where that is said once in a session, what it said."""
        known = self.server
        if not known.revision.modern:
            return known
        result = await self._line.ask("server/discover", repeatable=True)
        capabilities, instructions = result.get("capabilities"), result.get("instructions")
        if not isinstance(capabilities, dict):
            raise BadAnswer('The result of server/discover has no object "capabilities"')
        return attrs.evolve(
            known,
            implementation=_implementation_in(result) or known.implementation,
            capabilities=capabilities,
            instructions=instructions if isinstance(instructions, str) else None,
            raw=result,
        )

    async def list_tools(self, *, fresh: bool = False) -> Sequence[ToolDefinition]:
        """All tools, of all pages.

        Args:
            fresh: Ask the server even if what it said before still holds.
        """
        return await self._line.catalogue.tools.get(fresh=fresh, join=not fresh)

    async def list_prompts(self, *, fresh: bool = False) -> Sequence[PromptDefinition]:
        """All prompts; as `list_tools`."""
        return await self._line.catalogue.prompts.get(fresh=fresh, join=not fresh)

    async def list_resources(self, *, fresh: bool = False) -> Sequence[ResourceDefinition]:
        """All resources; as `list_tools`."""
        return await self._line.catalogue.resources.get(fresh=fresh, join=not fresh)

    async def list_resource_templates(self, *, fresh: bool = False) -> Sequence[ResourceDefinition]:
        """All templates of resources, the template in `uri`; as `list_tools`."""
        return await self._line.catalogue.templates.get(fresh=fresh, join=not fresh)

    # --- its use

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_log: OnLog | None = None,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Result:
        """Call a tool and wait for its result.

        Args:
            name: The tool.
            arguments: Its arguments.
            on_progress: Gets each progress message; without it the server is not asked for any.
            on_log: Gets each log message of the call; without it, `on_notice` of the client does.
            timeout: Seconds until the result; by default `timeouts.total`.
            meta: More members of `_meta`.

        Returns:
            The result. A tool that failed is a result with `is_error`, not an exception.

        Cancel: The call is cancelled on the server.

        Raises:
            ClientError: There is no result.
        """
        wants = on_progress is not None
        errand = self._line.tool(name, arguments, progress=wants, timeout=timeout, meta=meta)
        try:
            while True:
                message = await errand.receive()
                if not isinstance(message, Notification):
                    return tool_result(message)
                event = event_of(message)
                if event is None:
                    self._host.heard(message)
                elif isinstance(event, Progress):
                    if on_progress is not None:
                        on_progress(event)
                elif on_log is not None:
                    on_log(event)
                else:
                    self._host.heard(message)
        finally:
            errand.cancel()

    def stream_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> ToolStream:
        """Call a tool and get what it says as it comes: progress, log messages, and its result as the last.

        The call is sent when the first event is asked for. Leaving the loop early cancels the call on the server.
        """
        errand = self._line.tool(name, arguments, progress=True, timeout=timeout, meta=meta)
        return self._stream_kind(errand, self._host.heard)

    async def read_resource(
        self, uri: str, *, timeout: float | None = None, meta: Mapping[str, Any] | None = None
    ) -> Sequence[Contents]:
        """What a resource holds."""
        params = _params({"uri": uri}, meta)
        result = await self._line.ask("resources/read", params, timeout, repeatable=True)
        return understood(reading.contents_of, result, "resources/read")

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> PromptResult:
        """A prompt, filled in with arguments."""
        params = _params({"name": name, "arguments": dict(arguments or {})}, meta)
        result = await self._line.ask("prompts/get", params, timeout, repeatable=True)
        return understood(_prompt_result, result, "prompts/get")

    async def complete(
        self,
        kind: Literal["prompt", "resource"],
        name: str,
        argument: str,
        value: str,
        *,
        context: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Completion:
        """Suggestions for an argument.

        Args:
            kind: Of what: a prompt, or a template of resources.
            name: The prompt's name, or the template's URI.
            argument: The argument.
            value: What the user has written so far.
            context: The other arguments that are known already.
            timeout: Seconds until the answer; by default `timeouts.total`.
        """
        reference = {"type": "ref/prompt", "name": name} if kind == "prompt" else {"type": "ref/resource", "uri": name}
        params: dict[str, Any] = {"ref": reference, "argument": {"name": argument, "value": value}}
        if context:
            params["context"] = {"arguments": dict(context)}
        result = await self._line.ask("completion/complete", params, timeout, repeatable=True)
        return understood(reading.completion_of, result, "completion/complete")

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: bool = False,
        uris: Sequence[str] = (),
        idle: float | None = None,
    ) -> Subscription:
        """Hear of changes: of the lists of tools, prompts and resources, and of single resources.

        A subscription that breaks off is renewed, as `retries` says; then each thing that it is about is told as a
        `Change` with `missed`.

        Args:
            tools: The list of tools.
            prompts: The list of prompts.
            resources: The list of resources.
            uris: Resources.
            idle: Seconds without a sign of life after which the stream is taken for dead. Servers need not give any, so
                by default there is no such deadline.
        """
        wanted = filter_of(tools=tools, prompts=prompts, resources=resources, uris=uris)
        if not wanted:
            raise ValueError("Say what to listen for: tools, prompts, resources or uris")
        return self._line.subscribe(wanted, idle, self._subscription_kind)

    async def ping(self) -> float:
        """Ask for a sign of life; the seconds that it took."""
        # Since 2026-07-28 there is no `ping`: `server/discover` is what each server answers.
        method = "server/discover" if self.server.revision.modern else "ping"
        began = self._line.clock.seconds()
        await self._line.ask(method, repeatable=True)
        return self._line.clock.seconds() - began

    async def set_log_level(self, level: LogLevel) -> None:
        """Choose the least severe log messages that are wanted."""
        await self._line.set_log_level(level)

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Send any request; the result as it came, also one of a type that an extension brings which was declared.

        Raises:
            RemoteError: The server answered with an error.
            ClientError: There is no answer.
        """
        extended = "extensions" in self._host.capabilities
        return await self._line.ask(method, params or _NOTHING, timeout, extended=extended)

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send any notification."""
        await self._line.conversation.notify(method, params or _NOTHING)

    # --- what another style of concurrency does in another way

    _stream_kind: ClassVar[type[ToolStream]] = ToolStream
    _subscription_kind: ClassVar[type[Subscription]] = Subscription

    def _usual_reactor(self) -> Any:
        """The reactor of who brings none."""
        return _installed_reactor()

    def _handler(self, handler: H) -> H:
        """A handler of the user, as coroutines of ours can call it."""
        return handler

    def _ear(self, ear: OnNotice | None) -> OnNotice | None:
        """The same for `on_notice`."""
        return ear


def _params(params: dict[str, Any], meta: Mapping[str, Any] | None) -> dict[str, Any]:
    return params if meta is None else {**params, "_meta": meta}


def _prompt_result(shape: Mapping[str, Any]) -> PromptResult:
    """Read a `GetPromptResult`."""
    description, meta = shape.get("description"), shape.get("_meta")
    return PromptResult(
        messages=reading.messages_of(shape),
        description=description if isinstance(description, str) else None,
        meta=meta if isinstance(meta, dict) else None,
        extra={name: value for name, value in shape.items() if name not in _OF_PROMPT_RESULTS},
    )


_OF_PROMPT_RESULTS = frozenset({"messages", "description", "_meta", "resultType"})


def _implementation_in(result: Mapping[str, Any]) -> Implementation | None:
    """The server's name and version in the `_meta` of a result."""
    meta = result.get("_meta")
    try:
        return reading.implementation_of(meta.get(SERVER_INFO)) if isinstance(meta, dict) else None
    except ValueError:
        return None


def _installed_reactor() -> Any:
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one; only who brings none wants that

    return reactor
