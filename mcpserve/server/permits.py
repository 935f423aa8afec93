"""What callers may use of what is served: `policy.access`, asked about tools, prompts and resources.

Every method that uses or shows something asks here, and nobody else decides. What a caller may not use is answered as
what is not there; what takes scopes that its credential lacks is answered with a challenge.

    used: call, get, complete, read, subscribe, tasks     `Permits.allows`
    shown: the lists                                      `Views.of`
    told of: that something has changed                   `Permits.conditions_of`, `Permits.audience`

Where nothing asks anything of callers, nothing is kept and hardly anything done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Generic, TypeVar

from mcpserve.features.catalog import Catalog, Library
from mcpserve.features.directory import File
from mcpserve.features.prompt import Prompt
from mcpserve.features.resource import Resource
from mcpserve.features.templates import UriTemplate
from mcpserve.features.tool import Tool
from mcpserve.policy.access import KINDS, Access, Conditions, Decision, Verdict, required, spelled, verdict
from mcpserve.policy.callers import Caller
from mcpserve.policy.challenges import Challenges
from mcpserve.protocol.revisions import Revision

Item = Tool | Prompt | Resource | File
T = TypeVar("T", bound=Item)
Given = TypeVar("Given", str, None)

MOST_VIEWS = 256
"""Sets of groups and scopes for which it is remembered what they see of a list."""

_RULED: Mapping[type, str] = {Tool: "tools", Prompt: "prompts", Resource: "resources", File: "resources"}
_NAME = 128
_SPELLINGS = 16
"""Ways to leave defaults out to which one more variable is added; all there are, of up to five."""
_OPEN = Access()
NO_CHALLENGES = Challenges()
"""Without an authorization server: scopes are named, but not where to get them."""


class Permits:
    """The rules of one server, and what they make of what is served.

    Args:
        access: The rules.
        challenges: How a caller is told which scopes to ask for.
    """

    def __init__(self, access: Access = _OPEN, challenges: Challenges = NO_CHALLENGES) -> None:
        self.access = access
        self._challenges = challenges
        self._known: dict[Tool | Prompt | Resource, Conditions] = {}

    def forget(self) -> None:
        """Something else is served from now on."""
        self._known.clear()

    def allows(
        self, item: Tool | Prompt | Resource, caller: Caller, revision: Revision, uri: str | None = None
    ) -> bool:
        """Tell whether a caller may use something.

        Args:
            item: The thing.
            caller: Who wants to use it.
            revision: The revision of its request.
            uri: Of a template, the URI that is asked for; without it, the template itself.

        Returns:
            False when it is to be answered as something that does not exist.

        Raises:
            Refusal: 403; its credential lacks scopes, and nothing else.
        """
        conditions = self._known.get(item) if uri is None else None
        if conditions is None:
            conditions = self.conditions(item, uri)
        return not conditions or self._judge(conditions, _RULED[type(item)], uri or item.name, caller, revision)

    def allows_tool(self, name: str, caller: Caller, revision: Revision) -> bool:
        """The same for a tool that is not served any more, by its name; what its author had declared is not known."""
        conditions = self.access.conditions("tools", [name])
        return self._judge(conditions, "tools", name, caller, revision)

    def _judge(self, conditions: Conditions, kind: str, name: str, caller: Caller, revision: Revision) -> bool:
        found = verdict(conditions, caller)
        if found is Verdict.STEP_UP:
            needed = sorted(required(conditions))
            missing = " ".join(sorted(set(needed) - caller.scopes))
            what = f"The {KINDS[kind]} {name[:_NAME]}"
            sentence = f"{what} takes the scopes {' '.join(needed)}; this credential lacks {missing}"
            raise self._challenges.insufficient(sentence, needed, caller.scopes, revision=revision.name)
        return found is Verdict.ALLOWED

    def conditions(self, item: Item, uri: str | None = None) -> Conditions:
        """What a caller needs who wants to use something; arguments as of `allows`."""
        if isinstance(item, File):
            return self.conditions(item.resource, item.name)
        if uri is not None and isinstance(item, Resource) and self.varies(item):
            return self.access.conditions("resources", _names(item, uri), item.condition)
        known = self._known.get(item)
        if known is None:
            known = self.access.conditions(_RULED[type(item)], _names(item, None), item.condition)
            self._known[item] = known
        return known

    def decide(self, item: Tool | Prompt | Resource, caller: Caller, uri: str | None = None) -> Decision:
        """The decision that `allows` makes, and why; arguments as there."""
        return self.access.decide(_RULED[type(item)], _names(item, uri), item.condition, caller)

    def varies(self, template: Resource) -> bool:
        """Tell whether some URIs of a template may take more than others."""
        return bool(self.access.resources) and bool(template.template.variables)

    def conditions_of(self, library: Library, uri: str) -> Conditions:
        """What a caller needs to hear that a resource has changed: the same as to read it."""
        found = library.find(uri)
        if found is not None:
            return self.conditions(found[0], uri)
        # nobody can read it, but its name may say something all the same
        return self.access.conditions("resources", [spelled(uri)])

    def audience(self, concerned: Iterable[Conditions]) -> Callable[[Caller], bool] | None:
        """Who is told that a list has changed: who sees one of the things in it that are concerned.

        Args:
            concerned: What each of these things takes.

        Returns:
            Tells whether a caller is among them; None when all are.
        """
        distinct = set(concerned)
        if () in distinct:
            return None
        return lambda caller: any(self.sees(conditions, caller) for conditions in distinct)

    def sees(self, conditions: Conditions, caller: Caller) -> bool:
        """Tell whether a caller finds something in a list that takes this."""
        found = verdict(conditions, caller)
        return found is Verdict.ALLOWED or (found is Verdict.STEP_UP and self.access.list_step_up)


class Views(Generic[T]):
    """What callers see of one list: the same catalogue for all who see the same, so that its pages are encoded once.

    Args:
        permits: Who may use what.
    """

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._whole: Catalog[T] | None = None
        self._conditions: dict[str, Conditions] = {}
        self._groups: frozenset[str] = frozenset()
        self._scopes: frozenset[str] = frozenset()
        self._seen: dict[tuple[Any, ...], Catalog[T]] = {}
        self._views: dict[tuple[str, ...], Catalog[T]] = {}

    def of(self, catalog: Catalog[T], caller: Caller) -> Catalog[T]:
        """What a caller sees of what is served now."""
        if catalog is not self._whole:
            self._begin(catalog)
        if not self._conditions:
            return catalog
        # of what a caller has, only what somebody asks for makes a difference
        standing = (caller.groups & self._groups, caller.scopes & self._scopes, caller.name is None)
        seen = self._seen.get(standing)
        if seen is None:
            if len(self._seen) >= MOST_VIEWS:
                self._seen.clear()
                self._views.clear()
            seen = self._seen[standing] = self._view(catalog, caller)
        return seen

    def _begin(self, catalog: Catalog[T]) -> None:
        conditions = {item.name: self._permits.conditions(item) for item in catalog}
        self._whole = catalog
        self._conditions = conditions if any(conditions.values()) else {}
        every = [condition for some in conditions.values() for condition in some]
        self._groups = frozenset().union(*(condition.groups or () for condition in every))
        self._scopes = frozenset().union(*(condition.scopes for condition in every))
        self._seen.clear()
        self._views.clear()

    def _view(self, catalog: Catalog[T], caller: Caller) -> Catalog[T]:
        names = {name for name, conditions in self._conditions.items() if self._permits.sees(conditions, caller)}
        view = catalog.among(lambda item: item.name in names)
        return self._views.setdefault(tuple(item.name for item in view), view)


def _names(item: Tool | Prompt | Resource, uri: str | None) -> list[str]:
    """What it is called by: a URI of a template has several names, and the rules of each hold."""
    if not isinstance(item, Resource):
        return [item.name]
    own = [spelled(item.name)]
    return own if uri is None or not item.template.variables else [*own, *spellings(item, uri)]


def spellings(template: Resource, uri: str) -> list[str]:
    """The URIs that a template makes of the variables in a URI, as texts and as what its function gets.

    `n://{number}` serves `n://5` and `n://5.0` alike, the order in a query does not matter to it, and what is left out
    is as what is said to be its default: what a rule says of one holds for the other.
    """
    texts = template.template.match(uri)
    if texts is None:
        return [spelled(uri)]
    found: list[Mapping[str, str]] = [texts]
    bound, defaults = template.match(uri), template.arguments.defaults
    if bound is not None:
        written = {name: _text(bound[name], text) for name, text in texts.items() if name in bound}
        found.append(written)
    if bound is not None and defaults:
        found += _with_defaults(template.template, bound, written, defaults)
    return list(dict.fromkeys(spelled(template.template.expand(values)) for values in found))


def _with_defaults(
    template: UriTemplate, bound: Mapping[str, Any], written: Mapping[str, str], defaults: Mapping[str, Any]
) -> list[Mapping[str, str]]:
    """The same variables with each that has its default written and left out; only those that the template reads so."""
    usual = {name: _text(value, None) for name, value in defaults.items() if bound.get(name, value) == value}
    whole = {**{name: text for name, text in usual.items() if text is not None}, **written}
    found: list[Mapping[str, str]] = [whole if template.match(template.expand(whole)) == whole else written]
    for name in reversed(template.variables):
        if name in usual:
            fewer = [{key: text for key, text in values.items() if key != name} for values in found[:_SPELLINGS]]
            found += [values for values in fewer if template.match(template.expand(values)) == values]
    return found


def _text(value: Any, text: Given) -> str | Given:
    """How a value is written, in one way; a text that is given for it stands for one that has many."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return text if isinstance(value, list | dict | tuple | set) or value is None else str(value)
