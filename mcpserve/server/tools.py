"""The methods tools/list and tools/call. Spec: Tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from mcpserve.errors import InvalidParams, ToolError
from mcpserve.features.catalog import Catalog
from mcpserve.features.results import to_result
from mcpserve.features.tool import Tool
from mcpserve.policy.callers import Caller
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.mirroring import check_mirrored
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import ABSENT, Result, Text
from mcpserve.server.calls import Calls, Runner
from mcpserve.server.dispatch import Method
from mcpserve.server.pages import Pages
from mcpserve.server.permits import Permits
from mcpserve.server.tasks import Tasks


class Tools:
    """The tools that are served.

    Args:
        catalog: What is served; may be replaced at any time, running calls keep their tool.
        envelope: What the revision adds to a result.
        calls: Where calls run.
        tasks: What calls may become; without it there are no tasks, and no client is taken to know them.
        permits: Who may use what.
    """

    def __init__(
        self,
        catalog: Catalog[Tool],
        envelope: wire.Envelope,
        calls: Calls,
        tasks: Tasks | None = None,
        permits: Permits | None = None,
    ) -> None:
        self.catalog = catalog
        self._permits = permits = permits or Permits()
        self._tasks = tasks
        if tasks is not None:
            tasks.may_use = self.may_use
        self._answers = ToolAnswers(envelope)
        self._runner = Runner(calls, self._answers, calls.rates)
        self._pages = Pages[Tool]("tools", wire.tool, envelope, permits)
        self.methods: Mapping[str, Method] = {
            "tools/list": Method(run=self.list),
            "tools/call": Method(run=self.call, named="name"),
        }

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of tools."""
        return {"tools": {}}

    def list(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tools/list."""
        self._pages.answer(self.catalog, exchange, caller)

    def may_use(self, name: str, caller: Caller, revision: Revision) -> bool:
        """Tell whether a caller may use the tool of this name; of one that is gone, only the rules are known.

        Raises:
            Refusal: 403; its credential lacks scopes, and nothing else.
        """
        tool = self.catalog.get(name)
        if tool is None:
            return self._permits.allows_tool(name, caller, revision)
        return self._permits.allows(tool, caller, revision)

    def call(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """tools/call: find the tool, check the arguments, run it."""
        params = exchange.request.params
        tool = self.catalog.get(params["name"])
        if tool is None or not self._permits.allows(tool, caller, exchange.revision):
            raise InvalidParams(f"Unknown tool: {params['name'][:128]}")
        arguments = params.get("arguments")
        if arguments is None:
            arguments = {}
        elif not isinstance(arguments, dict):
            raise InvalidParams("arguments must be an object")
        if tool.mirrored and metadata.mirrored is not None:
            check_mirrored(tool.mirrored, arguments, metadata.mirrored)
        self._runner.expect(tool, caller)
        problems = tool.validator.problems(arguments)
        if problems:
            # Tools, Error Handling: input validation errors are tool execution errors, which a model can mend.
            self._answers.refuse(ToolError("Invalid arguments: " + "; ".join(problems)), exchange)
        else:
            offer = None if self._tasks is None else self._tasks.offer(tool, metadata, caller)
            self._runner.run(tool, arguments, exchange, metadata, caller, offer)


@attrs.frozen
class ToolAnswers:
    """How a tool call is answered: also what went wrong is a result, as the model should read of it.

    Spec: Tools, Error Handling.
    """

    noun: ClassVar[str] = "tool"
    envelope: wire.Envelope

    def succeed(self, served: Tool, value: object, exchange: Exchange) -> None:
        """See `Answers.succeed`."""
        self._reply(shaped(served, value), exchange)

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """See `Answers.refuse`."""
        self._reply(Result(content=[Text(str(error))], is_error=True), exchange)

    def _reply(self, result: Result, exchange: Exchange) -> None:
        revision = exchange.revision
        exchange.succeed(self.envelope.complete(wire.call_result(result, revision), revision))


def shaped(tool: Tool, value: object) -> Result:
    """The result that a returned value makes.

    Raises:
        ValueError: It does not fit the tool's output schema. Spec: Tools, Output Schema: "Servers MUST provide
            structured results that conform to this schema."
        TypeError: It has no form in JSON.
    """
    result = to_result(value, tool.signature)
    if tool.output_validator is not None and not result.is_error:
        if result.structured is ABSENT:
            raise ValueError("the tool has an output schema, but returned nothing structured")
        problems = tool.output_validator.problems(result.structured)
        if problems:
            raise ValueError("the returned value does not fit the output schema: " + "; ".join(problems))
    return result
