"""The methods tools/list and tools/call. Spec: Tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from mcpserve.errors import InvalidParams, ProtocolError
from mcpserve.features.awaiting import abandon, is_awaitable
from mcpserve.features.call import Caller, Cause, Runtime
from mcpserve.features.catalog import Catalog
from mcpserve.features.tool import Tool
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.mirroring import check_mirrored
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import Result, Text
from mcpserve.server.dispatch import Method
from mcpserve.server.running import Running, failed, shaped

LIST_TTL_MS = 60_000


@attrs.frozen(kw_only=True)
class ToolLimits:
    """How many calls may run at once, in total."""

    calls: int = 10_000


class Tools:
    """The tools that are served, and the calls of them that run.

    Args:
        catalog: What is served; may be replaced at any time, running calls keep their tool.
        envelope: What the revision adds to a result.
        runtime: What calls run on.
        limits: How many may run.
    """

    def __init__(
        self, catalog: Catalog, envelope: wire.Envelope, runtime: Runtime, limits: ToolLimits = ToolLimits()
    ) -> None:
        self._catalog = catalog
        self._envelope = envelope
        self._runtime = runtime
        self._limits = limits
        self._lists: dict[tuple[bool, str | None], orjson.Fragment] = {}
        self._counts: dict[str, int] = {}
        self.running: dict[Running, None] = {}
        self.methods: Mapping[str, Method] = {
            "tools/list": Method(run=self.list),
            "tools/call": Method(run=self.call, named="name"),
        }

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of tools."""
        return {"tools": {}}

    @property
    def catalog(self) -> Catalog:
        """What is served now."""
        return self._catalog

    @catalog.setter
    def catalog(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lists.clear()

    def list(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tools/list. The encoded page is kept: a list changes rarely and is asked for often."""
        cursor = exchange.request.params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidParams("cursor must be a string")
        key = (exchange.revision.modern, cursor)
        page = self._lists.get(key)
        if page is None:
            page = self._lists[key] = self._encode_page(cursor, exchange.revision)
        exchange.succeed(page)

    def call(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tools/call: find the tool, check the arguments, run it."""
        params = exchange.request.params
        tool = self._catalog.get(params["name"])
        if tool is None:
            raise InvalidParams(f"Unknown tool: {params['name'][:128]}")
        arguments = params.get("arguments")
        if arguments is None:
            arguments = {}
        elif not isinstance(arguments, dict):
            raise InvalidParams("arguments must be an object")
        if tool.mirrored and metadata.mirrored is not None:
            check_mirrored(tool.mirrored, arguments, metadata.mirrored)
        problems = tool.validator.problems(arguments)
        if problems:
            self._refuse(exchange, "Invalid arguments: " + "; ".join(problems))
        elif tool.plain:
            self._answer(tool, arguments, exchange)
        else:
            running = self._admit(tool, exchange)
            if running is not None:
                running.start(arguments, metadata, caller, self._runtime)

    def cancel_all(self, cause: Cause) -> None:
        """Cancel what runs."""
        for running in list(self.running):
            running.cancel(cause)

    def _encode_page(self, cursor: str | None, revision: Revision) -> orjson.Fragment:
        page = self._catalog.page(cursor)
        shape: dict[str, Any] = {"tools": [wire.tool(tool.definition, revision) for tool in page.tools]}
        if page.next_cursor is not None:
            shape["nextCursor"] = page.next_cursor
        result = self._envelope.cacheable(shape, revision, ttl_ms=LIST_TTL_MS, scope="public")
        return orjson.Fragment(orjson.dumps(result))

    def _answer(self, tool: Tool, arguments: dict[str, Any], exchange: Exchange) -> None:
        """The short way for a plain tool: no call object is made."""
        try:
            value = tool.function(**tool.signature.bind(arguments))
            if is_awaitable(value):
                self._adopt(tool, value, exchange)
            else:
                self._reply(exchange, shaped(tool, value))
        except ProtocolError:
            raise
        except BaseException as error:  # sys.exit() in a tool is the tool's failure, not the server's end
            self._fail(tool, error, exchange)

    def _adopt(self, tool: Tool, awaitable: Any, exchange: Exchange) -> None:
        running = self._admit(tool, exchange)
        if running is None:
            abandon(awaitable)
        else:
            running.adopt(awaitable)

    def _fail(self, tool: Tool, error: BaseException, exchange: Exchange) -> None:
        try:
            self._reply(exchange, failed(tool, error))
        except Exception as unspeakable:  # as text that is not Unicode
            self._reply(exchange, failed(tool, unspeakable))

    def _admit(self, tool: Tool, exchange: Exchange) -> Running | None:
        """Make room for one more running call, or answer that there is none."""
        count = self._counts.get(tool.name, 0)
        most = tool.options.max_concurrent
        if most is not None and count >= most:
            self._refuse(exchange, f"{tool.name} is busy: {count} calls are running already. Try again later.")
            return None
        if len(self.running) >= self._limits.calls:
            self._refuse(exchange, f"The server is busy: {len(self.running)} calls are running. Try again later.")
            return None
        self._counts[tool.name] = count + 1
        running = Running(tool, exchange, self._envelope, self._ended)
        self.running[running] = None
        return running

    def _ended(self, running: Running) -> None:
        self.running.pop(running, None)
        name = running.tool.name
        left = self._counts.get(name, 1) - 1
        if left:
            self._counts[name] = left
        else:
            self._counts.pop(name, None)

    def _refuse(self, exchange: Exchange, text: str) -> None:
        """Spec: Tools, Error Handling: input validation errors are tool execution errors, which a model can mend."""
        self._reply(exchange, Result(content=[Text(text)], is_error=True))

    def _reply(self, exchange: Exchange, result: Result) -> None:
        revision = exchange.revision
        exchange.succeed(self._envelope.complete(wire.call_result(result, revision), revision))
