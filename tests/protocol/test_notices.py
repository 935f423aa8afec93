"""Notices and filters on paper."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import InvalidParams
from mcpserve.protocol.notices import (
    FILTER_KEYS,
    PROMPTS_CHANGED,
    RESOURCES_CHANGED,
    TOOLS_CHANGED,
    FilterKey,
    acknowledged,
    notice,
    read_filter,
    resource_updated,
    topics,
)

ID = "io.modelcontextprotocol/subscriptionId"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
IDS = st.integers(-(2**53), 2**53) | TEXTS


def read(notifications: Any, most: int = 10) -> Any:
    """What is read of a filter."""
    return read_filter({"notifications": notifications}, FILTER_KEYS, most)


# --- notices


@pytest.mark.parametrize(
    ("changed", "method", "topic"),
    [
        (TOOLS_CHANGED, "notifications/tools/list_changed", ("toolsListChanged", None)),
        (PROMPTS_CHANGED, "notifications/prompts/list_changed", ("promptsListChanged", None)),
        (RESOURCES_CHANGED, "notifications/resources/list_changed", ("resourcesListChanged", None)),
    ],
)
def test_a_changed_list(changed: Any, method: str, topic: Any) -> None:
    """A session gets it without params; a subscription with its id, and nothing else."""
    assert (changed.method, changed.topic, changed.subject) == (method, topic, None)
    assert orjson.loads(changed.plain) == {"jsonrpc": "2.0", "method": method}
    tagged = {"jsonrpc": "2.0", "method": method, "params": {"_meta": {ID: 7}}}
    assert orjson.loads(changed.tagged(b"7")) == tagged


@given(TEXTS, IDS)
def test_an_updated_resource(uri: str, request_id: int | str) -> None:
    """Whatever the URI and the id are, the message is whole, and the id is what it was."""
    updated = resource_updated(uri)
    assert updated.topic == ("resourceSubscriptions", uri)
    message = orjson.loads(updated.tagged(orjson.dumps(request_id)))
    assert message == {
        "jsonrpc": "2.0",
        "method": "notifications/resources/updated",
        "params": {"_meta": {ID: request_id}, "uri": uri},
    }
    assert type(message["params"]["_meta"][ID]) is type(request_id)
    assert orjson.loads(updated.plain)["params"] == {"uri": uri}


@pytest.mark.parametrize("uri", [None, 1, b"x:", "\ud800"])
def test_what_is_no_uri(uri: Any) -> None:
    """It is the fault of whoever says it, and is said to them."""
    with pytest.raises(TypeError):
        resource_updated(uri)


def test_a_notice_of_another_kind() -> None:
    """An extension has filter keys and params of its own."""
    key = FilterKey(name="taskIds", capability="extensions", flag="tasks", many=True)
    task = notice("notifications/tasks", key, "t1", {"taskId": "t1", "status": "working"})
    assert task.topic == ("taskIds", "t1")
    assert orjson.loads(task.tagged(b'"a"'))["params"] == {"_meta": {ID: "a"}, "taskId": "t1", "status": "working"}


# --- filters


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, {}),
        ({"toolsListChanged": True, "promptsListChanged": False}, {"toolsListChanged": True}),
        ({"nobodyKnows": 5, "taskIds": "no list"}, {}),
        ({"resourceSubscriptions": []}, {"resourceSubscriptions": []}),
        ({"resourceSubscriptions": ["b:", "a:", "b:"]}, {"resourceSubscriptions": ["b:", "a:"]}),
    ],
)
def test_a_filter(wanted: Any, found: Any) -> None:
    """What is known and asked for is found, each URI once, in order; unknown keys are left out, whatever they hold."""
    assert read(wanted) == found


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        "toolsListChanged",
        {"toolsListChanged": None},
        {"toolsListChanged": 1},
        {"resourcesListChanged": "yes"},
        {"resourceSubscriptions": "a:"},
        {"resourceSubscriptions": True},
        {"resourceSubscriptions": ["a:", 1]},
        {"resourceSubscriptions": {"a:": True}},
    ],
)
def test_a_bad_filter(wanted: Any) -> None:
    """A known key with a value of another kind is refused, as is no filter."""
    with pytest.raises(InvalidParams, match="notifications"):
        read(wanted)


def test_no_filter() -> None:
    """It is required."""
    with pytest.raises(InvalidParams, match="notifications"):
        read_filter({}, FILTER_KEYS, 10)


def test_too_many() -> None:
    """A thing that is named twice counts once."""
    assert read({"resourceSubscriptions": ["a:", "b:", "a:"]}, 2)
    with pytest.raises(InvalidParams, match="at the most"):
        read({"resourceSubscriptions": ["a:", "b:", "c:"]}, 2)


def test_names_too_long() -> None:
    """They are kept for as long as the stream is open, so all together are bounded."""
    assert read({"resourceSubscriptions": ["a" * 1000, "b" * 1000]})
    with pytest.raises(InvalidParams, match="characters"):
        read({"resourceSubscriptions": ["a" * 40_000, "b" * 40_000]})


def test_topics() -> None:
    """One for each switch, and one for each thing in a list."""
    found = topics({"toolsListChanged": True, "resourceSubscriptions": ["a:", "b:"]})
    assert list(found) == [
        ("toolsListChanged", None),
        ("resourceSubscriptions", "a:"),
        ("resourceSubscriptions", "b:"),
    ]


def test_an_acknowledgement() -> None:
    """It has the subset that is honoured, and the id as it was sent."""
    message = orjson.loads(acknowledged({"toolsListChanged": True}, "1"))
    assert message == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": {ID: "1"}, "notifications": {"toolsListChanged": True}},
    }
