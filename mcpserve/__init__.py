"""mcpserve: an event-driven server for streaming Model Context Protocol tools.

This is the front door for authors of plugins: decorate a function with `tool`, `prompt` or `resource`, take a `Call` or
a `Stream` where the work takes time, raise `ToolError` where the model should know what went wrong.
"""

from mcpserve.errors import AskError, McpserveError, NotFound, PluginError, ToolError, Undeclared, UrlRequired
from mcpserve.features import publish
from mcpserve.features.asking import Answer, Elicit, ElicitUrl, ListRoots, Sample
from mcpserve.features.call import Call
from mcpserve.features.directory import Directory
from mcpserve.features.prompt import prompt
from mcpserve.features.resource import resource
from mcpserve.features.schema import Arg
from mcpserve.features.stream import Stream
from mcpserve.features.tool import tool
from mcpserve.policy.callers import Caller
from mcpserve.protocol.inputs import Root, Sampled, SamplingMessage, ToolOutcome, ToolUse
from mcpserve.protocol.types import (
    Annotations,
    Audio,
    Completion,
    Contents,
    EmbeddedResource,
    Icon,
    Image,
    Message,
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
    "Completion",
    "Contents",
    "Directory",
    "Elicit",
    "ElicitUrl",
    "EmbeddedResource",
    "Icon",
    "Image",
    "ListRoots",
    "McpserveError",
    "Message",
    "NotFound",
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
    "prompt",
    "publish",
    "resource",
    "tool",
]
