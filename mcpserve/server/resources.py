"""The methods resources/list, resources/templates/list and resources/read. Spec: Resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from mcpserve.errors import InternalError, NotFound, ToolError, UnknownResource
from mcpserve.features.catalog import Catalog, Library
from mcpserve.features.directory import File
from mcpserve.features.resource import Resource, to_contents
from mcpserve.policy.access import Conditions, Verdict, verdict
from mcpserve.policy.callers import Caller
from mcpserve.protocol import offers, wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.notices import RESOURCES_CHANGED, Notice
from mcpserve.protocol.revisions import Revision
from mcpserve.server.calls import Calls, Runner
from mcpserve.server.dispatch import Method
from mcpserve.server.pages import Pages
from mcpserve.server.permits import Permits

APPS = "io.modelcontextprotocol/ui"
"""The extension by which a resource with the scheme `ui:` is an interface that a tool is shown with."""


class Resources:
    """The resources that are served. Implements `Feature`.

    Args:
        library: What is served; may be replaced at any time.
        envelope: What the revision adds to a result.
        calls: Where calls run.
        permits: Who may use what.
    """

    def __init__(self, library: Library, envelope: wire.Envelope, calls: Calls, permits: Permits | None = None) -> None:
        self._library = library
        self._permits = permits = permits or Permits()
        self._listed = library.listed()
        self._told: tuple[str, Conditions] | None = None
        self._runner = Runner(calls, ResourceAnswers(envelope, permits))
        self._runner_for_named = Runner(calls, ResourceAnswers(envelope, permits, named=True), beside=self._runner)
        self._pages = Pages[Resource | File]("resources", offers.resource, envelope, permits)
        self._template_pages = Pages[Resource]("resourceTemplates", offers.resource_template, envelope, permits)
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
        self._told = None
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
        self._pages.answer(self._listed, exchange, caller)

    def list_templates(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """resources/templates/list."""
        self._template_pages.answer(self._library.templates, exchange, caller)

    def read(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """resources/read: find what the URI names, and run its function."""
        uri = exchange.request.params["uri"]
        found = self.find(uri, exchange.revision, caller)
        if found is None:
            raise UnknownResource(uri)
        runner = self._runner if caller.name is None else self._runner_for_named
        runner.run(*found, exchange, metadata, caller)

    def find(self, uri: str, revision: Revision, caller: Caller) -> tuple[Resource, Mapping[str, Any]] | None:
        """The resource that a URI names, and what its function gets, if there is one and the caller may use it.

        Raises:
            Refusal: 403; its credential lacks scopes, and nothing else.
        """
        found = self._library.find(uri)
        return found if found is not None and self._permits.allows(found[0], caller, revision, uri) else None

    def tells(self, uri: str, caller: Caller) -> bool:
        """Tell whether a caller hears that a resource has changed."""
        # asked for one listener after the other
        if self._told is None or self._told[0] != uri:
            self._told = uri, self._permits.conditions_of(self._library, uri)
        conditions = self._told[1]
        return not conditions or verdict(conditions, caller) is Verdict.ALLOWED

    def came_or_went(self, files: Iterable[File]) -> Notice:
        """The notice that these files are new or gone, for those who see one of them."""
        return attrs.evolve(RESOURCES_CHANGED, audience=self._permits.audience(map(self._permits.conditions, files)))

    def _any(self) -> bool:
        return bool(self._library)


@attrs.frozen
class ResourceAnswers:
    """How resources/read is answered.

    Args:
        envelope: What the revision adds to a result.
        permits: Who may use what.
        named: Whether it is answered to somebody who had to say who he is.

    Spec: Resources, Error Handling; Caching.
    """

    noun: ClassVar[str] = "resource"
    envelope: wire.Envelope
    permits: Permits
    named: bool = False

    def succeed(self, served: Resource, value: object, exchange: Exchange) -> None:
        """See `Answers.succeed`."""
        uri = exchange.request.params["uri"]
        parts = to_contents(value, uri, served)
        ttl_ms = round(served.options.ttl * 1000)
        # what not everybody may read, or nobody unknown, is for no shared cache, whatever its author says
        mine = self.named or self.permits.conditions(served, uri)
        scope = "private" if mine else served.options.cache_scope
        result = offers.read_result(parts)
        exchange.succeed(self.envelope.cacheable(result, exchange.revision, ttl_ms=ttl_ms, scope=scope))

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """See `Answers.refuse`."""
        if isinstance(error, NotFound):
            exchange.fail(UnknownResource(exchange.request.params["uri"], str(error)))
        else:
            exchange.fail(InternalError(str(error)))
