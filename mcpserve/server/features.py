"""The features that plugins bring, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from mcpserve.features.catalog import Catalog, Catalogs
from mcpserve.policy.access import Conditions
from mcpserve.policy.callers import Caller
from mcpserve.protocol.notices import PROMPTS_CHANGED, RESOURCE, RESOURCES_CHANGED, TOOLS_CHANGED, Notice
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.wire import Envelope
from mcpserve.server.calls import Calls
from mcpserve.server.completions import Completions
from mcpserve.server.dispatch import Feature
from mcpserve.server.permits import Permits
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
        permits: Who may use what; by default who meets what the authors of plugins have declared.

    Attributes:
        permits: Who may use what.
    """

    def __init__(
        self,
        catalogs: Catalogs,
        envelope: Envelope,
        calls: Calls,
        tasks: Tasks | None = None,
        permits: Permits | None = None,
    ) -> None:
        self.catalogs = catalogs
        self.permits = permits = permits or Permits()
        self.tools = Tools(catalogs.tools, envelope, calls, tasks, permits)
        self.prompts = Prompts(catalogs.prompts, envelope, calls, permits)
        self.resources = Resources(catalogs.library, envelope, calls, permits)
        self.completions = Completions(self.prompts, self.resources, envelope, calls, permits)

    def __iter__(self) -> Iterator[Feature]:
        yield self.tools
        yield self.prompts
        yield self.resources
        yield self.completions

    def replace(self, catalogs: Catalogs) -> Sequence[Notice]:
        """Serve something else from now on; what runs goes on.

        Returns:
            What there is to tell: the lists that are others now, each to those who see a difference.
        """
        before = self._shown()
        self.catalogs = catalogs
        self.permits.forget()
        self.tools.catalog = catalogs.tools
        self.prompts.catalog = catalogs.prompts
        self.resources.library = catalogs.library
        return [
            attrs.evolve(notice, audience=self.permits.audience(_concerned(before[notice], shown)))
            for notice, shown in self._shown().items()
            if shown != before[notice]
        ]

    def knows(self, uri: str, caller: Caller, revision: Revision) -> bool:
        """Tell whether there is such a resource, for this caller.

        Raises:
            Refusal: 403; its credential lacks scopes, and nothing else.
        """
        return self.resources.find(uri, revision, caller) is not None

    def tells(self, notice: Notice, caller: Caller) -> bool:
        """Tell whether a notice is for this caller."""
        if notice.audience is not None:
            return notice.audience(caller)
        key, subject = notice.topic
        return key != RESOURCE.name or subject is None or self.resources.tells(subject, caller)

    def _shown(self) -> dict[Notice, list[_Shown]]:
        """What the lists show and to whom, by the notice that tells of a change."""
        return {
            TOOLS_CHANGED: self._all(self.tools.catalog),
            PROMPTS_CHANGED: self._all(self.prompts.catalog),
            RESOURCES_CHANGED: self._all(self.resources.listed, self.resources.library.templates),
        }

    def _all(self, *catalogs: Catalog[Any]) -> list[_Shown]:
        return [(one.name, one.definition, self.permits.conditions(one)) for catalog in catalogs for one in catalog]


_Shown = tuple[str, Any, Conditions]


def _concerned(before: Sequence[_Shown], after: Sequence[_Shown]) -> Iterator[Conditions]:
    """What the things take that are in one of two lists only; all of them, when only their order is another."""
    old, new = ({one[0]: one for one in some} for some in (before, after))
    differing = [one for name in old.keys() | new.keys() for one in _different(old.get(name), new.get(name))]
    for _, _, conditions in differing or after:
        yield conditions


def _different(old: _Shown | None, new: _Shown | None) -> list[_Shown]:
    return [one for one in (old, new) if one is not None] if old != new else []
