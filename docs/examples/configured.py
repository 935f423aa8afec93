"""A plugin that takes settings from the configuration file."""

from collections.abc import Mapping
from typing import Any

from mcpserve import PluginError, tool

motto = "Be brief."


def configure(settings: Mapping[str, Any]) -> None:
    """Take the table [plugin.configured] of the configuration file."""
    global motto
    unknown = sorted(set(settings) - {"motto"})
    if unknown:
        raise PluginError(f"there is no setting {unknown[0]!r}, only motto")
    motto = settings.get("motto", "Be brief.")
    if not isinstance(motto, str):
        raise PluginError(f"motto must be a text, not {motto!r}")


@tool(name="motto", read_only=True)
def tell_motto() -> str:
    """Tell the motto of the house."""
    return motto
