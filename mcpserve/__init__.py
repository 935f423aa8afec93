"""mcpserve: an event-driven server for streaming Model Context Protocol tools.

This is the front door for authors of plugins: decorate a function with `tool`, take a `Call` or a `Stream` where the
work takes time, raise `ToolError` where the model should know what went wrong.
"""

from mcpserve.errors import AskError, McpserveError, PluginError, ToolError, Undeclared, UrlRequired
from mcpserve.features import publish
from mcpserve.features.asking import Answer, Elicit, ElicitUrl, ListRoots, Sample
from mcpserve.features.call import Call, Caller, Stream
from mcpserve.features.schema import Arg
from mcpserve.features.tool import tool
from mcpserve.protocol.inputs import Root, Sampled, SamplingMessage, ToolOutcome, ToolUse
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
    "Answer",
    "Arg",
    "AskError",
    "Audio",
    "Call",
    "Caller",
    "Elicit",
    "ElicitUrl",
    "EmbeddedResource",
    "Icon",
    "Image",
    "ListRoots",
    "McpserveError",
    "PluginError",
    "ResourceLink",
    "Result",
    "Root",
    "Sample",
    "Sampled",
    "SamplingMessage",
    "Stream",
    "Text",
    "ToolError",
    "ToolOutcome",
    "ToolUse",
    "Undeclared",
    "UrlRequired",
    "publish",
    "tool",
]
