"""The catalogues: what is served now of each kind, in a fixed order, page by page.

A catalogue never changes; a reload makes a new one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import attrs

from mcpserve.errors import ConfigurationError, InvalidParams, PluginError
from mcpserve.features.directory import Directory, File
from mcpserve.features.prompt import Prompt
from mcpserve.features.resource import Resource
from mcpserve.features.tool import Tool

PAGE_SIZE = 250


class Listed(Protocol):
    """What a catalogue holds.

    Attributes:
        name: What it is asked for by: the name of a tool or a prompt, the URI of a resource.
        origin: The file or the package that it comes from.
        definition: What clients are told of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def definition(self) -> Any: ...


T = TypeVar("T", bound=Listed)


@attrs.frozen
class Page(Generic[T]):
    """A part of a catalogue, and the cursor of what follows (None at the end)."""

    items: Sequence[T]
    next_cursor: str | None


class Catalog(Generic[T]):
    """What is served now of one kind.

    Args:
        items: In the order in which they are listed.
        page_size: How many a page holds at the most.
        noun: What they are, for messages.
        shared: False when it is what some callers see of a larger one.

    Attributes:
        encoded: Its pages as they travel, by whatever they depend on; for whoever makes them.

    Raises:
        PluginError: Some have the same name; the message has a line for each pair, with both origins.
    """

    def __init__(
        self, items: Sequence[T] = (), *, page_size: int = PAGE_SIZE, noun: str = "tool", shared: bool = True
    ) -> None:
        self._items: dict[str, T] = {}
        self.page_size = page_size
        self.noun = noun
        self.shared = shared
        self.encoded: dict[tuple[str, str | None, str], Any] = {}
        problems = []
        for item in items:
            other = self._items.setdefault(item.name, item)
            if other is not item:
                problems.append(f"{item.origin}: {noun} {item.name!r} exists already, from {other.origin}")
        if problems:
            raise PluginError("\n".join(problems))

    def get(self, name: str) -> T | None:
        """What has this name, if it is served."""
        return self._items.get(name)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def among(self, chosen: Callable[[T], bool]) -> Catalog[T]:
        """What is left of it for some callers."""
        return Catalog([item for item in self if chosen(item)], page_size=self.page_size, noun=self.noun, shared=False)

    def page(self, cursor: str | None = None) -> Page[T]:
        """The page that starts after `cursor`, or the first.

        A cursor names the last item of the page before, so that it stays good while others come and go.

        Raises:
            InvalidParams: The cursor is none of ours, or its item is gone. Spec: Pagination, Error Handling.
        """
        items = list(self._items.values())
        start = 0
        if cursor is not None:
            last = self._items.get(_name_in(cursor))
            # One item has one cursor: base64 would let others pass, and each asked for would be kept by the caller.
            if last is None or cursor != _cursor_after(last):
                raise InvalidParams("Unknown cursor: start again without one")
            start = items.index(last) + 1
        chosen = items[start : start + self.page_size]
        more = start + len(chosen) < len(items)
        return Page(chosen, _cursor_after(chosen[-1]) if more else None)


@attrs.frozen(kw_only=True)
class Library:
    """The resources that are served now.

    Args:
        resources: Single resources, by URI.
        templates: Templates of resources, in the order in which they are asked for a URI.
        directories: The directories whose files are listed as well, with the templates that read them.
    """

    resources: Catalog[Resource] = attrs.field(factory=lambda: Catalog[Resource]())
    templates: Catalog[Resource] = attrs.field(factory=lambda: Catalog[Resource]())
    directories: Mapping[Directory, Resource] = attrs.field(factory=dict)

    def __bool__(self) -> bool:
        return bool(len(self.resources) or len(self.templates))

    def find(self, uri: str) -> tuple[Resource, Mapping[str, Any]] | None:
        """The resource that a URI names, and what its function gets; None when there is none."""
        single = self.resources.get(uri)
        if single is not None:
            return single, {}
        for template in self.templates:
            values = template.match(uri)
            if values is not None:
                return template, values
        return None

    def listed(self) -> Catalog[Resource | File]:
        """All that resources/list tells of: resources, and the files that the directories have now."""
        files = [file for directory in self.directories for file in directory.files.values()]
        own = [file for file in files if self.resources.get(file.name) is None]
        return Catalog([*self.resources, *own], page_size=self.resources.page_size, noun="resource")


@attrs.frozen(kw_only=True)
class Catalogs:
    """All that is served now."""

    tools: Catalog[Tool] = attrs.field(factory=lambda: Catalog[Tool]())
    prompts: Catalog[Prompt] = attrs.field(factory=lambda: Catalog[Prompt]())
    library: Library = attrs.field(factory=Library)

    def names(self) -> Iterator[tuple[str, str]]:
        """The kind and the name of everything in them."""
        for kind, catalog in self.kinds():
            yield from ((kind, item.name) for item in catalog)

    def counted(self) -> str:
        """How much there is, as in "2 tools, 1 prompt"; tools also if there are none."""
        counts = [(kind, len(catalog)) for kind, catalog in self.kinds()]
        return ", ".join(
            f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts if count or kind == "tool"
        )

    def kinds(self) -> Iterator[tuple[str, Catalog[Any]]]:
        """The catalogues, each with what it holds; those of files are found when they are asked for."""
        yield "tool", self.tools
        yield "prompt", self.prompts
        yield "resource", self.library.resources
        yield "template", self.library.templates


class Choosable(Listed, Protocol):
    """What the operator can choose."""

    @property
    def options(self) -> Any: ...


C = TypeVar("C", bound=Choosable)


def select(items: Sequence[C], only: Collection[str] = (), without: Collection[str] = ()) -> list[C]:
    """Apply the operator's choice.

    Args:
        items: All that was found of one kind.
        only: If not empty, the names to serve; it also serves what is off by default.
        without: Names not to serve.
    """
    wanted = [item for item in items if (item.definition.name in only if only else item.options.enabled)]
    return [item for item in wanted if item.definition.name not in without]


def check_choice(items: Sequence[Choosable], only: Collection[str] = (), without: Collection[str] = ()) -> None:
    """Find out whether the operator's choice names what there is.

    Args:
        items: All that was found, of all kinds.
        only: Names to serve.
        without: Names not to serve.

    Raises:
        ConfigurationError: A name is unknown; the message lists the known ones.
    """
    known = {item.definition.name for item in items}
    for option, names in (("only", only), ("without", without)):
        unknown = sorted(set(names) - known)
        if unknown:
            raise ConfigurationError(
                f"{option}: nothing is named {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(known))}"
            )


def _cursor_after(item: Listed) -> str:
    return base64.urlsafe_b64encode(item.name.encode()).decode().rstrip("=")


def _name_in(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
