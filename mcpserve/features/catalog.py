"""The catalogue: the tools that are served now, in a fixed order, page by page.

A catalogue never changes; a reload makes a new one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence

import attrs

from mcpserve.errors import ConfigurationError, InvalidParams, PluginError
from mcpserve.features.tool import Tool

PAGE_SIZE = 250


@attrs.frozen
class Page:
    """Some tools, and the cursor of those that follow (None at the end)."""

    tools: Sequence[Tool]
    next_cursor: str | None


class Catalog:
    """The tools that are served now.

    Args:
        tools: In the order in which they are listed.
        page_size: How many tools a page holds at the most.

    Raises:
        PluginError: Tools have the same name; the message has a line for each pair, with both origins.
    """

    def __init__(self, tools: Sequence[Tool] = (), *, page_size: int = PAGE_SIZE) -> None:
        self._tools: dict[str, Tool] = {}
        self._page_size = page_size
        problems = []
        for tool in tools:
            other = self._tools.setdefault(tool.name, tool)
            if other is not tool:
                problems.append(f"{tool.origin}: tool {tool.name!r} exists already, from {other.origin}")
        if problems:
            raise PluginError("\n".join(problems))

    def get(self, name: str) -> Tool | None:
        """The tool of this name, if it is served."""
        return self._tools.get(name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def page(self, cursor: str | None = None) -> Page:
        """The page that starts after `cursor`, or the first.

        A cursor names the last tool of the page before, so that it stays good while other tools come and go.

        Raises:
            InvalidParams: The cursor is none of ours, or its tool is gone. Spec: Pagination, Error Handling.
        """
        tools = list(self._tools.values())
        start = 0
        if cursor is not None:
            last = self._tools.get(_name_in(cursor))
            # One tool has one cursor: base64 would let others pass, and each asked for would be kept by the caller.
            if last is None or cursor != _cursor_after(last):
                raise InvalidParams("Unknown cursor: start again without one")
            start = tools.index(last) + 1
        chosen = tools[start : start + self._page_size]
        more = start + len(chosen) < len(tools)
        return Page(chosen, _cursor_after(chosen[-1]) if more else None)


def select(tools: Sequence[Tool], only: Collection[str] = (), without: Collection[str] = ()) -> list[Tool]:
    """Apply the operator's choice.

    Args:
        tools: All that was found.
        only: If not empty, the names to serve; it also serves tools that are off by default.
        without: Names not to serve.

    Raises:
        ConfigurationError: A name is unknown; the message lists the known ones.
    """
    known = {tool.name for tool in tools}
    for option, names in (("only", only), ("without", without)):
        unknown = sorted(set(names) - known)
        if unknown:
            raise ConfigurationError(
                f"{option}: no tool is named {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(known))}"
            )
    wanted = [tool for tool in tools if (tool.name in only if only else tool.options.enabled)]
    return [tool for tool in wanted if tool.name not in without]


def _cursor_after(tool: Tool) -> str:
    return base64.urlsafe_b64encode(tool.name.encode()).decode().rstrip("=")


def _name_in(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
