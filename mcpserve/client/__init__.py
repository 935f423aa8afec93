"""The streaming client: point it at any MCP server, of any revision.

async with Client("https://example.org/mcp") as client:
    async for event in client.stream_tool("count", {"to": 10}):
        print(event)

The same for asyncio programs is in `mcpserve.client.aio`, and for plain scripts in `mcpserve.client.sync`.
"""

from mcpserve.client.answering import Elicit, Elicited, Roots, Sample, Visit
from mcpserve.client.calls import ToolEvent, ToolStream
from mcpserve.client.client import Client
from mcpserve.client.conversation import ServerDescription
from mcpserve.client.credentials import ApiKey, BearerToken, Challenge, Credentials, RequestFacts, from_environment
from mcpserve.client.eras import Eras
from mcpserve.client.limits import Limits, Retries, Terms, Timeouts
from mcpserve.client.listening import Subscription
from mcpserve.client.opening import Opening
from mcpserve.client.servers import HttpServer, NamedServer, StdioServer, read_servers
from mcpserve.client.values import (
    Change,
    FormQuestion,
    LogMessage,
    Notice,
    PageQuestion,
    Progress,
    PromptResult,
    SamplingQuestion,
)
from mcpserve.client.ways import Options
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    ClientError,
    DeadlinePassed,
    Refused,
    RemoteError,
    Unauthorized,
    Unreachable,
)
from mcpserve.protocol.inputs import Root, Sampled, SamplingMessage, ToolOutcome, ToolUse
from mcpserve.protocol.types import (
    Audio,
    Completion,
    Contents,
    EmbeddedResource,
    Image,
    Implementation,
    Message,
    PromptDefinition,
    ResourceDefinition,
    ResourceLink,
    Result,
    Text,
    ToolDefinition,
    Unknown,
)

__all__ = [
    "AnswerLost",
    "AnswerTooLarge",
    "ApiKey",
    "Audio",
    "BadAnswer",
    "BearerToken",
    "Challenge",
    "Change",
    "Client",
    "ClientClosed",
    "ClientError",
    "Completion",
    "Contents",
    "Credentials",
    "DeadlinePassed",
    "Elicit",
    "Elicited",
    "EmbeddedResource",
    "Eras",
    "FormQuestion",
    "HttpServer",
    "Image",
    "Implementation",
    "Limits",
    "LogMessage",
    "Message",
    "NamedServer",
    "Notice",
    "Opening",
    "Options",
    "PageQuestion",
    "Progress",
    "PromptDefinition",
    "PromptResult",
    "Refused",
    "RemoteError",
    "RequestFacts",
    "ResourceDefinition",
    "ResourceLink",
    "Result",
    "Retries",
    "Root",
    "Roots",
    "Sample",
    "Sampled",
    "SamplingMessage",
    "SamplingQuestion",
    "ServerDescription",
    "StdioServer",
    "Subscription",
    "Terms",
    "Text",
    "Timeouts",
    "ToolDefinition",
    "ToolEvent",
    "ToolOutcome",
    "ToolStream",
    "ToolUse",
    "Unauthorized",
    "Unknown",
    "Unreachable",
    "Visit",
    "from_environment",
    "read_servers",
]
