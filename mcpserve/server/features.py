"""The features that plugins bring, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mcpserve.features.catalog import Catalogs
from mcpserve.protocol.notices import PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED, Notice
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import Calls
from mcpserve.server.completions import Completions
from mcpserve.server.dispatch import Feature
from mcpserve.server.prompts import Prompts
from mcpserve.server.resources import Resources
from mcpserve.server.tasks import Tasks
from mcpserve.server.tools import Tools


class PluginFeatures:
    """Tools, prompts, resources and completions.

    Args:
        catalogs: What is served.
        envelope: What the revision adds to a result.
        calls: Where calls run.
        tasks: What calls of tools may become; None for a server without tasks.
    """

    def __init__(self, catalogs: Catalogs, envelope: Envelope, calls: Calls, tasks: Tasks | None = None) -> None:
        self.catalogs = catalogs
        self.tools = Tools(catalogs.tools, envelope, calls, tasks)
        self.prompts = Prompts(catalogs.prompts, envelope, calls)
        self.resources = Resources(catalogs.library, envelope, calls)
        self.completions = Completions(self.prompts, self.resources, envelope, calls)

    def __iter__(self) -> Iterator[Feature]:
        yield self.tools
        yield self.prompts
        yield self.resources
        yield self.completions

    def replace(self, catalogs: Catalogs) -> Sequence[Notice]:
        """Serve something else from now on; what runs goes on.

        Returns:
            What there is to tell: the lists that are others now.
        """
        before = self._shown()
        self.catalogs = catalogs
        self.tools.catalog = catalogs.tools
        self.prompts.catalog = catalogs.prompts
        self.resources.library = catalogs.library
        return [notice for notice, shown in self._shown().items() if shown != before[notice]]

    def _shown(self) -> dict[Notice, list[Any]]:
        """What the lists show, by the notice that tells of a change."""
        templates = self.resources.library.templates
        return {
            TOOLS_CHANGED: [tool.definition for tool in self.tools.catalog],
            PROMPTS_CHANGED: [prompt.definition for prompt in self.prompts.catalog],
            RESOURCES_CHANGED: [one.definition for some in (self.resources.listed, templates) for one in some],
        }
