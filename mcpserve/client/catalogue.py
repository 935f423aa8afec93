"""What a server has: lists of several pages, kept for as long as the server says that they hold; headers of calls.

Nothing but the server is ever asked: a `$ref` in a schema is passed on, not followed.
Spec: Pagination; Caching; Tools, x-mcp-header; Streamable HTTP, Client Behavior.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs
import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpserve.client.conversation import Outgoing
from mcpserve.client.limits import Limits
from mcpserve.client.sharing import Shared
from mcpserve.errors import AnswerTooLarge, BadAnswer, InvalidParams, RemoteError
from mcpserve.protocol import reading
from mcpserve.protocol.mirroring import MirroredParameter, mirrored_headers, mirrored_parameters
from mcpserve.protocol.types import ToolDefinition

D = TypeVar("D")
Ask = Callable[[str, Mapping[str, Any], float], Awaitable[Mapping[str, Any]]]
"""Sends a request that may be repeated: its method, its params, and when its list was asked for; gives the result."""

_NOTHING: Mapping[str, Any] = {}
_NO_HEADERS: Mapping[str, str] = {}
_log = Logger()


class Listing(Generic[D]):
    """One list: asked for page by page, and kept.

    Args:
        method: The method that gives a page.
        member: The member of its result that holds the definitions.
        read: Reads one definition; a ValueError says what is wrong with it.
        ask: Sends requests.
        clock: Tells the time.
        limits: How many pages there may be, and how large all of them together.
    """

    def __init__(
        self, method: str, member: str, read: Callable[[Any], D], *, ask: Ask, clock: IReactorTime, limits: Limits
    ) -> None:
        self._method = method
        self._member = member
        self._read = read
        self._ask = ask
        self._clock = clock
        self._limits = limits
        self._kept: tuple[D, ...] = ()
        self._until = float("-inf")
        self._age = 0
        self._fetch: Shared[tuple[D, ...]] | None = None

    async def get(self, *, fresh: bool = False, join: bool = True) -> tuple[D, ...]:
        """The whole list.

        Args:
            fresh: Ask the server even if what is kept still holds.
            join: Take what is on its way already; else only what was asked for from now on.
        """
        # "The response is considered fresh while: now < t_received + ttlMs" (Caching)
        if not fresh and self._clock.seconds() < self._until:
            return self._kept
        fetch = self._fetch
        if fetch is None or fetch.done or not join:
            fetch = self._fetch = Shared(self._fetched(self._age))
        return await fetch.wait()

    def forget(self) -> None:
        """What is kept, or on its way, does not hold any more."""
        self._age += 1
        self._until = float("-inf")
        self._fetch = None

    async def _fetched(self, age: int) -> tuple[D, ...]:
        try:
            definitions, until = await self._all(restart=True)
        except _StaleCursor:
            # "If a cursor becomes invalid, the client SHOULD discard all cached pages and re-fetch from the beginning."
            definitions, until = await self._all(restart=False)
        if age == self._age:
            self._kept, self._until = definitions, until
        return definitions

    async def _all(self, *, restart: bool) -> tuple[tuple[D, ...], float]:
        found: list[D] = []
        until, params, began, size = float("inf"), _NOTHING, self._clock.seconds(), 0
        for _ in range(self._limits.pages):
            try:
                page = await self._ask(self._method, params, began)
            except RemoteError as error:
                if params and restart and error.code == InvalidParams.code:
                    raise _StaleCursor from None
                raise
            found += self._definitions(page)
            until = min(until, self._clock.seconds() + _seconds_to_live(page))
            # "Don't make any determination based on cursor value other than whether a non-null value was provided"
            cursor = page.get("nextCursor")
            if cursor is None:
                return tuple(found), until
            if not isinstance(cursor, str) or cursor == params.get("cursor"):
                raise BadAnswer(f"{self._method} gives a cursor that leads nowhere")
            size += len(orjson.dumps(page))
            if size > self._limits.body:
                raise AnswerTooLarge(f"{self._method} has pages of more than {self._limits.body} bytes")
            params = {"cursor": cursor}
        raise AnswerTooLarge(f"{self._method} has more than {self._limits.pages} pages")

    def _definitions(self, page: Mapping[str, Any]) -> list[D]:
        shapes = page.get(self._member)
        if not isinstance(shapes, list):
            raise BadAnswer(f'The result of {self._method} has no array "{self._member}"')
        definitions = []
        for shape in shapes:
            try:
                definitions.append(self._read(shape))
            except ValueError as error:
                _log.warn(
                    "{method}: {name} is left out: {reason}", method=self._method, name=_name(shape), reason=str(error)
                )
        return definitions


class _StaleCursor(Exception):
    """The server does not know a cursor any more that it gave itself."""


def _name(shape: Any) -> str:
    name = shape.get("name") if isinstance(shape, dict) else None
    return repr(name)[:80] if isinstance(name, str) else "something without a name"


def _seconds_to_live(page: Mapping[str, Any]) -> float:
    """How long a page holds. Spec: Caching: absent and negative are 0."""
    ttl = page.get("ttlMs")
    return max(0.0, ttl / 1000) if isinstance(ttl, int | float) and not isinstance(ttl, bool) else 0.0


class Catalogue:
    """All lists of one server.

    Args:
        ask: Sends requests.
        clock: Tells the time.
        limits: How large a list may be.
        mirrors: Tells whether parameters of calls are mirrored into headers: over HTTP, since 2026-07-28.
    """

    def __init__(self, ask: Ask, *, clock: IReactorTime, limits: Limits, mirrors: Callable[[], bool]) -> None:
        self._mirrors = mirrors
        self._mirrored: dict[str, tuple[MirroredParameter, ...]] = {}
        self.tools = Listing("tools/list", "tools", self._tool, ask=ask, clock=clock, limits=limits)
        self.prompts = Listing("prompts/list", "prompts", reading.prompt_of, ask=ask, clock=clock, limits=limits)
        self.resources = Listing(
            "resources/list", "resources", reading.resource_of, ask=ask, clock=clock, limits=limits
        )
        self.templates = Listing(
            "resources/templates/list", "resourceTemplates", reading.template_of, ask=ask, clock=clock, limits=limits
        )
        self._changes: Mapping[str, Sequence[Listing[Any]]] = {
            "notifications/tools/list_changed": (self.tools,),
            "notifications/prompts/list_changed": (self.prompts,),
            "notifications/resources/list_changed": (self.resources, self.templates),
        }

    def heard(self, method: str) -> None:
        """The server told of something: lists that it is about do not hold any more."""
        for listing in self._changes.get(method, ()):
            listing.forget()

    def forget(self) -> None:
        """Nothing that is kept is sure to hold: what the server told of meanwhile was not heard."""
        for listing in (self.tools, self.prompts, self.resources, self.templates):
            listing.forget()

    def mirrored(self, name: str, arguments: Any) -> Mapping[str, str]:
        """The headers that mirror parameters of a call, as far as the tool is known."""
        parameters = self._mirrored.get(name)
        return mirrored_headers(parameters, arguments) if parameters and self._mirrors() else _NO_HEADERS

    async def renewed(self, outgoing: Outgoing) -> Outgoing | None:
        """The same call with headers by the list of tools as it is now; None if they are as they were.

        Spec: Streamable HTTP, Client Behavior: "the client SHOULD call tools/list to check for changes to the tool's
        inputSchema, then retry the original request with the appropriate headers."
        """
        await self.tools.get(fresh=True)
        headers = self.mirrored(outgoing.params["name"], outgoing.params.get("arguments"))
        return None if headers == outgoing.mirrored else attrs.evolve(outgoing, mirrored=headers)

    def _tool(self, shape: Any) -> ToolDefinition:
        tool = reading.tool_of(shape)
        self._mirrored.pop(tool.name, None)
        if self._mirrors():
            # "Clients using the Streamable HTTP transport MUST reject tool definitions where any x-mcp-header value
            # violates these constraints"; "SHOULD log a warning", including the name and the reason.
            self._mirrored[tool.name] = mirrored_parameters(tool.input_schema)
        return tool
