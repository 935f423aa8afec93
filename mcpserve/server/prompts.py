"""The methods prompts/list and prompts/get. Spec: Prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from mcpserve.errors import InternalError, InvalidParams, ToolError
from mcpserve.features.catalog import Catalog
from mcpserve.features.prompt import Prompt, to_messages
from mcpserve.policy.callers import Caller
from mcpserve.protocol import offers, wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import Revision
from mcpserve.server.calls import Calls, Runner
from mcpserve.server.dispatch import Method
from mcpserve.server.pages import Pages
from mcpserve.server.permits import Permits


class Prompts:
    """The prompts that are served. Implements `Feature`.

    Args:
        catalog: What is served; may be replaced at any time.
        envelope: What the revision adds to a result.
        calls: Where calls run.
        permits: Who may use what.
    """

    def __init__(
        self, catalog: Catalog[Prompt], envelope: wire.Envelope, calls: Calls, permits: Permits | None = None
    ) -> None:
        self.catalog = catalog
        self._permits = permits = permits or Permits()
        self._runner = Runner(calls, PromptAnswers(envelope))
        self._pages = Pages[Prompt]("prompts", offers.prompt, envelope, permits)
        self.methods: Mapping[str, Method] = {
            "prompts/list": Method(run=self.list, served=self._any),
            "prompts/get": Method(run=self.get, named="name", served=self._any),
        }

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of prompts."""
        return {"prompts": {}} if self._any() else {}

    def list(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """prompts/list."""
        self._pages.answer(self.catalog, exchange, caller)

    def get(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """prompts/get: find the prompt, and run it with the arguments."""
        params = exchange.request.params
        prompt = self.find(params["name"], exchange, caller)
        if prompt is None:
            raise InvalidParams(f"Unknown prompt: {params['name'][:128]}")
        arguments = texts(params.get("arguments"), "arguments")
        self._runner.run(prompt, arguments, exchange, metadata, caller)

    def find(self, name: str, exchange: Exchange, caller: Caller) -> Prompt | None:
        """The prompt of this name, if there is one and the caller may use it.

        Raises:
            Refusal: 403; its credential lacks scopes, and nothing else.
        """
        prompt = self.catalog.get(name)
        return prompt if prompt is not None and self._permits.allows(prompt, caller, exchange.revision) else None

    def _any(self) -> bool:
        return bool(len(self.catalog))


@attrs.frozen
class PromptAnswers:
    """How prompts/get is answered.

    Spec: Prompts, Error Handling: what went wrong is an error of the request; there is no result for it.
    """

    noun: ClassVar[str] = "prompt"
    envelope: wire.Envelope

    def succeed(self, served: Prompt, value: object, exchange: Exchange) -> None:
        """See `Answers.succeed`."""
        revision = exchange.revision
        result = offers.prompt_result(served.definition.description, to_messages(value), revision)
        exchange.succeed(self.envelope.complete(result, revision))

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """See `Answers.refuse`."""
        exchange.fail(InternalError(str(error)))


def texts(value: Any, member: str) -> dict[str, str]:
    """An object whose values are texts, or none.

    Raises:
        InvalidParams: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidParams(f"{member} must be an object of strings")
    return value
