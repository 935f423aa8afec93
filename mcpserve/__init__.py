"""mcpserve: an event-driven server for streaming Model Context Protocol tools.

This is the front door for authors of plugins: decorate a function with `tool`, take a `Call` or a `Stream` where the
work takes time, raise `ToolError` where the model should know what went wrong.
"""

from mcpserve.errors import McpserveError, PluginError, ToolError
from mcpserve.features import publish
from mcpserve.features.call import Call, Caller, Stream
from mcpserve.features.schema import Arg
from mcpserve.features.tool import tool
from mcpserve.protocol.types import (
    Annotations,
    Audio,
    EmbeddedResource,
    Icon,
    Image,
    ResourceLink,
    Result,
    Text,
)

__all__ = [
    "Annotations",
    "Arg",
    "Audio",
    "Call",
    "Caller",
    "EmbeddedResource",
    "Icon",
    "Image",
    "McpserveError",
    "PluginError",
    "ResourceLink",
    "Result",
    "Stream",
    "Text",
    "ToolError",
    "publish",
    "tool",
]
