"""The methods resources/list, resources/templates/list and resources/read. Spec: Resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from mcpserve.errors import InternalError, NotFound, ToolError, UnknownResource
from mcpserve.features.catalog import Catalog, Library
from mcpserve.features.directory import File
from mcpserve.features.resource import Resource, to_contents
from mcpserve.policy.callers import Caller
from mcpserve.protocol import offers, wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import Revision
from mcpserve.server.calls import Calls, Runner
from mcpserve.server.dispatch import Method
from mcpserve.server.pages import Pages

APPS = "io.modelcontextprotocol/ui"
"""The extension by which a resource with the scheme `ui:` is an interface that a tool is shown with."""


class Resources:
    """The resources that are served. Implements `Feature`.

    Args:
        library: What is served; may be replaced at any time.
        envelope: What the revision adds to a result.
        calls: Where calls run.
    """

    def __init__(self, library: Library, envelope: wire.Envelope, calls: Calls) -> None:
        self._library = library
        self._listed = library.listed()
        self._runner = Runner(calls, ResourceAnswers(envelope))
        self._pages = Pages[Resource | File]("resources", offers.resource, envelope)
        self._template_pages = Pages[Resource]("resourceTemplates", offers.resource_template, envelope)
        self.methods: Mapping[str, Method] = {
            "resources/list": Method(run=self.list, served=self._any),
            "resources/templates/list": Method(run=self.list_templates, served=self._any),
            "resources/read": Method(run=self.read, named="uri", served=self._any),
        }

    @property
    def library(self) -> Library:
        """What is served now."""
        return self._library

    @library.setter
    def library(self, library: Library) -> None:
        self._library = library
        self.refresh()

    @property
    def listed(self) -> Catalog[Resource | File]:
        """What resources/list tells of."""
        return self._listed

    def refresh(self) -> None:
        """The files of a directory are others now: list them anew."""
        self._listed = self._library.listed()

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of resources, and of those that are interfaces."""
        declared: dict[str, Any] = {"resources": {}} if self._any() else {}
        if any(resource.name.startswith("ui:") for resource in self._library.resources):
            declared["extensions"] = {APPS: {}}
        return declared

    def list(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """resources/list."""
        self._pages.answer(self._listed, exchange)

    def list_templates(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """resources/templates/list."""
        self._template_pages.answer(self._library.templates, exchange)

    def read(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """resources/read: find what the URI names, and run its function."""
        uri = exchange.request.params["uri"]
        found = self._library.find(uri)
        if found is None:
            raise UnknownResource(uri)
        self._runner.run(*found, exchange, metadata, caller)

    def _any(self) -> bool:
        return bool(self._library)


@attrs.frozen
class ResourceAnswers:
    """How resources/read is answered.

    Spec: Resources, Error Handling; Caching.
    """

    noun: ClassVar[str] = "resource"
    envelope: wire.Envelope

    def succeed(self, served: Resource, value: object, exchange: Exchange) -> None:
        """See `Answers.succeed`."""
        parts = to_contents(value, exchange.request.params["uri"], served)
        options = served.options
        ttl_ms = round(options.ttl * 1000)
        result = offers.read_result(parts)
        exchange.succeed(self.envelope.cacheable(result, exchange.revision, ttl_ms=ttl_ms, scope=options.cache_scope))

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """See `Answers.refuse`."""
        if isinstance(error, NotFound):
            exchange.fail(UnknownResource(exchange.request.params["uri"], str(error)))
        else:
            exchange.fail(InternalError(str(error)))
