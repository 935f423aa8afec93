"""All that is said of tasks, held against the schema of the extension.

The schema is not part of this project. Where it is at hand, `MCPSERVE_TASKS_SCHEMA` names the file (`schema.json` of
the repository modelcontextprotocol/ext-tasks); else the test is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from mcpserve import Call, Elicit, ListRoots, Sample, ToolError, tool
from mcpserve.errors import InvalidParams
from tests.wire.server import CAPABILITIES, PREFIX, Server

SCHEMA = os.environ.get("MCPSERVE_TASKS_SCHEMA")
KNOWS = {"extensions": {PREFIX + "tasks": {}}, "elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
OUTCOMES = {"well": None, "refused": ToolError("no"), "failed": InvalidParams("no", {"a": 1})}


@tool(task="required")
async def everything(call: Call, outcome: str) -> dict[str, int]:
    """Report, ask everything, and end."""
    call.progress(1, 2, "half")
    await call.sleep(1)
    await call.ask(form=Elicit("Well?"), model=Sample("Say so."), roots=ListRoots())
    error = OUTCOMES[outcome]
    if error is not None:
        raise error
    return {"a": 1}


ANSWERS = {
    "form": {"action": "accept", "content": {}},
    "model": {"role": "assistant", "content": {"type": "text", "text": "so"}, "model": "m"},
    "roots": {"roots": [{"uri": "file:///a"}]},
}


def said(outcome: str) -> Iterator[tuple[str, Any]]:
    """Each result and each notification, with the definition that it must fit."""
    server = Server(everything)

    def ask(method: str, **params: Any) -> Any:
        return server.modern(method, params, meta={CAPABILITIES: KNOWS}).result

    created = ask("tools/call", name="everything", arguments={"outcome": outcome})
    yield "CreateTaskResult", created
    task_id = created["taskId"]
    wanted = {"notifications": {"taskIds": [task_id]}}
    peer = server.modern("subscriptions/listen", wanted, meta={CAPABILITIES: KNOWS})
    server.turn()
    yield "GetTaskResult", ask("tasks/get", taskId=task_id)
    server.seconds(1)
    yield "GetTaskResult", ask("tasks/get", taskId=task_id)
    for key, answer in ANSWERS.items():
        if outcome in OUTCOMES:
            yield "UpdateTaskResult", ask("tasks/update", taskId=task_id, inputResponses={key: answer})
        yield "GetTaskResult", ask("tasks/get", taskId=task_id)
        server.turn()
    yield "CancelTaskResult", ask("tasks/cancel", taskId=task_id)
    yield "GetTaskResult", ask("tasks/get", taskId=task_id)
    server.turn()
    yield "TaskSubscriptionAcknowledgedNotifications", peer.messages[0]["params"]["notifications"]
    for message in peer.messages[1:]:
        yield "TaskStatusNotification", message


@pytest.mark.skipif(SCHEMA is None, reason="MCPSERVE_TASKS_SCHEMA does not name the schema of the extension")
@pytest.mark.parametrize("outcome", [*OUTCOMES, "cancelled"])
def test_all_is_as_the_schema_has_it(outcome: str) -> None:
    """In each state, as a result and as a notification."""
    assert SCHEMA is not None
    schema = orjson.loads(Path(SCHEMA).read_bytes())
    everything_said = list(said(outcome))
    for definition, value in everything_said:
        own = {"$ref": f"#/$defs/{definition}", "$schema": schema["$schema"], "$defs": schema["$defs"]}
        problems = [error.message for error in jsonschema_rs.validator_for(own).iter_errors(value)]
        assert problems == [], (definition, value)
    statuses = [value["params"]["status"] for name, value in everything_said if name == "TaskStatusNotification"]
    assert statuses[:2] == ["working", "input_required"]
    assert statuses[-1] == {"failed": "failed", "cancelled": "cancelled"}.get(outcome, "completed")
