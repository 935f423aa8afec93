"""What the commands show, beside the values of the client: frozen values that each kind of screen knows how to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from mcpserve.client.values import Change, LogMessage, Progress, PromptResult
from mcpserve.protocol.types import Contents, PromptDefinition, ResourceDefinition, Result, ToolDefinition


@attrs.frozen
class Template:
    """A template of resources."""

    definition: ResourceDefinition


@attrs.frozen
class Parts:
    """What a resource holds."""

    uri: str
    parts: Sequence[Contents]


@attrs.frozen
class Pong:
    """A sign of life: which one, and after how many seconds it came."""

    number: int
    seconds: float


@attrs.frozen(kw_only=True)
class Phase:
    """A step of the way to a server: what was done, how many seconds it took, and what came of it."""

    name: str
    seconds: float
    outcome: str = ""


@attrs.frozen(kw_only=True)
class Report:
    """What there is to know of a server.

    Args:
        target: How it was named on the command line.
        transport: How it is reached.
        revision: The revision that is spoken with it.
        supported: The revisions that it says it speaks; empty if it does not say.
        name: What it calls itself. version: And its version.
        title: What it is called where people read it.
        instructions: What it tells models.
        capabilities: What it declares, as it came.
        phases: The steps that were taken, and their time.
    """

    target: str
    transport: str
    revision: str
    supported: Sequence[str]
    name: str | None
    version: str | None
    title: str | None
    instructions: str | None
    capabilities: Mapping[str, Any]
    phases: Sequence[Phase]


@attrs.frozen(kw_only=True)
class Saved:
    """Content that was written to a file."""

    path: str
    mime_type: str | None
    size: int


@attrs.frozen(kw_only=True)
class Asked:
    """The server asked for something, and this was the answer: "accept", "decline" or "cancel"."""

    mode: str
    message: str
    action: str
    reason: str = ""


@attrs.frozen(kw_only=True)
class Failed:
    """A command did not come about.

    Args:
        kind: The name of the error's class; "Cancelled" after Ctrl-C.
        sentence: What went wrong.
        status: The exit status.
        code: The code of a JSON-RPC error. data: And its data.
    """

    kind: str
    sentence: str
    status: int
    code: int | None = None
    data: Any = None


Thing = (
    ToolDefinition
    | PromptDefinition
    | ResourceDefinition
    | Template
    | Progress
    | LogMessage
    | Change
    | Result
    | Parts
    | PromptResult
    | Pong
    | Report
    | Saved
    | Asked
    | Failed
)
