"""What a plugin says when something has changed, from anywhere: a tool, a timer, a callback, a thread of its own.

    from mcpserve import publish

    publish.resource_updated("oven://temperature")

Each function hands its notice to every server that runs in this process, and returns at once; who listens, and how
fast, is the server's business. While no server runs, nothing happens.
"""

from __future__ import annotations

from typing import Protocol

from mcpserve.protocol import notices
from mcpserve.protocol.notices import Notice

__all__ = ["prompts_changed", "resource_updated", "resources_changed", "tools_changed"]


class Outlet(Protocol):
    """Where notices go; a running server has one."""

    def publish(self, notice: Notice) -> None:
        """Take a notice, in any thread. Never waits, never raises."""


# Replaced as a whole, never changed: a thread may be reading it.
_outlets: tuple[Outlet, ...] = ()


def attach(outlet: Outlet) -> None:
    """Let an outlet have what is published from now on."""
    global _outlets
    _outlets = (*_outlets, outlet)


def detach(outlet: Outlet) -> None:
    """Let an outlet have no more."""
    global _outlets
    _outlets = tuple(one for one in _outlets if one is not outlet)


def tools_changed() -> None:
    """The list of tools has changed."""
    _publish(notices.TOOLS_CHANGED)


def prompts_changed() -> None:
    """The list of prompts has changed."""
    _publish(notices.PROMPTS_CHANGED)


def resources_changed() -> None:
    """The list of resources, or that of their templates, has changed."""
    _publish(notices.RESOURCES_CHANGED)


def resource_updated(uri: str) -> None:
    """The contents of a resource have changed.

    Args:
        uri: Its URI, as clients subscribe to it: it is compared letter by letter.

    Raises:
        TypeError: The URI is no text, or no Unicode.
    """
    _publish(notices.resource_updated(uri))


def _publish(notice: Notice) -> None:
    for outlet in _outlets:
        outlet.publish(notice)
