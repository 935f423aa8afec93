"""Each thing as an object of JSON, for `--json-lines`; docs/reference/client-command-line.md documents the shapes.

What came from the server has the names and shapes of the specification, in those of 2026-07-28.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from mcpserve.cli.things import (
    Asked,
    Failed,
    Parts,
    Phase,
    Pong,
    Report,
    Saved,
    Template,
    Thing,
)
from mcpserve.client.values import Change, LogMessage, Progress, PromptResult
from mcpserve.protocol import offers, wire
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.protocol.types import PromptDefinition, ResourceDefinition, Result, ToolDefinition

Object = dict[str, Any]

_STEERS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def line(thing: Thing) -> str:
    """One line of JSON, without its end. Nothing in it steers a terminal: JSON has a spelling for each character."""
    text = json.dumps(shape(thing), ensure_ascii=False, separators=(",", ":"))
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shape(thing: Thing) -> Object:
    """The object: its member `event` says which."""
    event, members = _SHAPES[type(thing)]
    return {"event": event, **members(thing)}


def _prompt_result(value: PromptResult) -> Object:
    return {"result": offers.prompt_result(value.description, value.messages, V2026_07_28)}


def _report(value: Report) -> Object:
    return {
        "server": value.target,
        "transport": value.transport,
        "revision": value.revision,
        "supported": list(value.supported),
        **wire.present(name=value.name, version=value.version, title=value.title, instructions=value.instructions),
        "capabilities": dict(value.capabilities),
        "phases": [_phase(phase) for phase in value.phases],
    }


def _phase(value: Phase) -> Object:
    shape: Object = {"phase": value.name, "seconds": round(value.seconds, 6)}
    return {**shape, "outcome": value.outcome} if value.outcome else shape


def _progress(value: Progress) -> Object:
    return {"value": value.value, **wire.present(total=value.total, message=value.message)}


def _log(value: LogMessage) -> Object:
    return {"level": value.level, **wire.present(logger=value.logger), "data": value.data}


def _change(value: Change) -> Object:
    return {
        "method": value.method,
        **wire.present(uri=value.uri),
        **({"missed": True} if value.missed else {}),
    }


def _failed(value: Failed) -> Object:
    return {
        "kind": value.kind,
        "message": value.sentence,
        "status": value.status,
        **wire.present(code=value.code, data=value.data),
    }


def _plainly(value: Any) -> Object:
    members: Mapping[str, Any] = attrs.asdict(value, recurse=False)
    return wire.present(**members)


_SHAPES: Mapping[type, tuple[str, Callable[[Any], Object]]] = {
    ToolDefinition: ("tool", lambda value: {"tool": wire.tool(value, V2026_07_28)}),
    PromptDefinition: ("prompt", lambda value: {"prompt": offers.prompt(value, V2026_07_28)}),
    ResourceDefinition: ("resource", lambda value: {"resource": offers.resource(value, V2026_07_28)}),
    Template: ("template", lambda value: {"template": offers.resource_template(value.definition, V2026_07_28)}),
    Progress: ("progress", _progress),
    LogMessage: ("log", _log),
    Change: ("change", _change),
    Result: ("result", lambda value: {"result": wire.call_result(value, V2026_07_28)}),
    Parts: ("result", lambda value: {"result": offers.read_result(value.parts)}),
    PromptResult: ("result", _prompt_result),
    Pong: ("pong", _plainly),
    Report: ("info", _report),
    Saved: ("saved", _plainly),
    Asked: ("asked", _plainly),
    Failed: ("error", _failed),
}
