"""The client: point it at a server, and call its tools."""

from __future__ import annotations

import random as chance
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Self, TypedDict, Unpack

from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent

from mcpserve.client.conversation import ServerDescription
from mcpserve.client.limits import Limits, Retries, Timeouts
from mcpserve.client.opening import Opening
from mcpserve.client.values import (
    Change,
    FormQuestion,
    LogMessage,
    Notice,
    PageQuestion,
    Progress,
    PromptResult,
    SamplingQuestion,
)
from mcpserve.protocol.inputs import Action, Root, Sampled
from mcpserve.protocol.types import (
    Completion,
    Contents,
    LogLevel,
    PromptDefinition,
    ResourceDefinition,
    Result,
    ToolDefinition,
)

Elicited = Mapping[str, Any] | Action
"""What became of a form: what the user filled in (accepted), or "accept" (all defaults), "decline", "cancel"."""
Elicit = Callable[[FormQuestion], Elicited | Awaitable[Elicited] | Deferred[Elicited]]
Visit = Callable[[PageQuestion], Action | Awaitable[Action] | Deferred[Action]]
Sample = Callable[[SamplingQuestion], Sampled | Awaitable[Sampled] | Deferred[Sampled]]
Roots = Sequence[Root] | Callable[[], Sequence[Root] | Awaitable[Sequence[Root]] | Deferred[Sequence[Root]]]
OnNotice = Callable[[Notice], None]
OnProgress = Callable[[Progress], None]
OnLog = Callable[[LogMessage], None]
ToolEvent = Progress | LogMessage | Result
TIMEOUTS, LIMITS, RETRIES = Timeouts(), Limits(), Retries()


class Options(TypedDict, total=False):
    """What every client can be given, whatever its server; see `Client`."""

    reactor: Any
    elicit: Elicit | None
    visit: Visit | None
    sample: Sample | None
    roots: Roots | None
    capabilities: Mapping[str, Any] | None
    on_notice: OnNotice | None
    timeouts: Timeouts
    limits: Limits
    retries: Retries
    revision: str | None
    name: str
    version: str
    log_level: LogLevel | None
    random: Callable[[], float]


class Client:
    """Talks to one MCP server, of whatever revision, over HTTP, HTTP+SSE or the standard streams of a child process.

        async with Client("https://example.org/mcp") as client:
            result = await client.call_tool("add", {"a": 1, "b": 2})
            async for event in client.stream_tool("count", {"to": 10}):
                print(event)

    Everything that fails raises a `ClientError` of `mcpserve.errors`. Cancelling what you await, a timeout, or breaking
    out of a loop over a stream cancels the call on the server, at once.

    Args:
        url: The server's URL, http: or https:.
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
        timeouts: How long to wait. limits: How much to take. retries: How often to try.
        revision: The one revision to speak, such as "2025-11-25"; by default what both sides know best.
        name: What the client calls itself. version: And its version.
        log_level: The least severe log messages that are wanted. None leaves it to the server; in 2026-07-28 none come.
        random: Gives a number from 0 to 1, for the jitter of waiting times.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: IAgent | None = None,
        credentials: Any = None,
        headers: Mapping[str, str] | None = None,
        eras: Any = None,
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
        version: str = "0.1.0",
        log_level: LogLevel | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        raise NotImplementedError

    @classmethod
    def stdio(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """A client of a server that it starts as a child process and talks to over its standard streams.

        Args:
            command: The command and its arguments; no shell is involved.
            env: More environment variables; of ours only the usual harmless ones are handed on.
            cwd: The directory that the child works in.
            options: As of `Client`.
        """
        raise NotImplementedError

    @classmethod
    def to(cls, server: Any, **options: Unpack[Options]) -> Self:
        """A client of a named server (`mcpserve.client.servers.NamedServer`), as configuration files describe it."""
        raise NotImplementedError

    @classmethod
    def through(cls, opening: Opening, **options: Unpack[Options]) -> Self:
        """A client that goes another way to its server: a transport of your own."""
        raise NotImplementedError

    # --- life

    async def open(self) -> Self:
        """Connect, find out what the server speaks, shake hands if it wants that.

        Cancel: The client is closed.

        Raises:
            Unreachable, DeadlinePassed, Unauthorized, Refused, BadAnswer, RemoteError: It did not come about.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Cancel all that runs, end the session, leave nothing in the reactor; within `timeouts.close`, never raises.

        A closed client stays closed. What still waits for an answer raises `ClientClosed`.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    # --- what the server has

    async def discover(self) -> ServerDescription:
        """Ask the server again what it is and can; where that is said once in a session, what it said."""
        raise NotImplementedError

    async def list_tools(self, *, fresh: bool = False) -> Sequence[ToolDefinition]:
        """All tools, of all pages.

        Args:
            fresh: Ask the server even if what it said before still holds.
        """
        raise NotImplementedError

    async def list_prompts(self, *, fresh: bool = False) -> Sequence[PromptDefinition]:
        """All prompts; as `list_tools`."""
        raise NotImplementedError

    async def list_resources(self, *, fresh: bool = False) -> Sequence[ResourceDefinition]:
        """All resources; as `list_tools`."""
        raise NotImplementedError

    async def list_resource_templates(self, *, fresh: bool = False) -> Sequence[ResourceDefinition]:
        """All templates of resources, the template in `uri`; as `list_tools`."""
        raise NotImplementedError

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
            on_log: Gets each log message of the call.
            timeout: Seconds until the result; by default `timeouts.total`.
            meta: More members of `_meta`.

        Returns:
            The result. A tool that failed is a result with `is_error`, not an exception.

        Cancel: The call is cancelled on the server.

        Raises:
            ClientError: There is no result.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def read_resource(
        self, uri: str, *, timeout: float | None = None, meta: Mapping[str, Any] | None = None
    ) -> Sequence[Contents]:
        """What a resource holds."""
        raise NotImplementedError

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> PromptResult:
        """A prompt, filled in with arguments."""
        raise NotImplementedError

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
        raise NotImplementedError

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
            tools: The list of tools. prompts: That of prompts. resources: That of resources.
            uris: Resources.
            idle: Seconds without a sign of life after which the stream is taken for dead. Servers need not give any, so
                by default there is no such deadline.
        """
        raise NotImplementedError

    async def ping(self) -> float:
        """Ask for a sign of life; the seconds that it took."""
        raise NotImplementedError

    async def set_log_level(self, level: LogLevel) -> None:
        """Choose the least severe log messages that are wanted."""
        raise NotImplementedError

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Send any request; the result as it came.

        Raises:
            RemoteError: The server answered with an error.
            ClientError: There is no answer.
        """
        raise NotImplementedError

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send any notification."""
        raise NotImplementedError


class ToolStream:
    """What a tool says, as it comes; see `Client.stream_tool`.

    An async iterator, and an async context manager that cancels a call which has not ended. So does the end of its
    life: in CPython that is the moment in which a loop is left.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ToolEvent:
        """The next event; the last one is the `Result`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the call if it has not ended; nothing more comes."""
        raise NotImplementedError

    def cancel(self, reason: str | None = None) -> None:
        """The same without waiting, with words for the server's log."""
        raise NotImplementedError


class Subscription:
    """Changes, as the server tells of them; see `Client.listen`.

    An async iterator that ends when the server ends the subscription; and an async context manager: inside it the
    subscription stands, so that what changes from then on is heard.
    """

    @property
    def honoured(self) -> Mapping[str, Any]:
        """What the server agreed to tell of, as a filter of `subscriptions/listen`; empty until it has said so."""
        raise NotImplementedError

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """The next change."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, *reason: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the subscription."""
        raise NotImplementedError

    def cancel(self) -> None:
        """The same without waiting."""
        raise NotImplementedError
