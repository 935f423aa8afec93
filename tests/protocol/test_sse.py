"""Server-sent events as an independent reader of the standard reads them."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol.sse import KEEP_ALIVE, event, event_with_id, priming_event


def _read(stream: bytes) -> list[dict[str, str]]:
    """Read a stream of events field by field, as the WHATWG standard says (without its forgiveness)."""
    events = []
    for block in stream.decode().split("\n\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        if fields:
            events.append(fields)
    return events


@given(st.lists(st.text()))
def test_messages_survive(texts: list[str]) -> None:
    """One message is one event with one data line, whatever is in it."""
    encoded = [orjson.dumps(text) for text in texts]
    stream = b"".join(event(data) + KEEP_ALIVE for data in encoded)
    assert [orjson.loads(fields["data"]) for fields in _read(stream)] == texts


def test_events_with_ids() -> None:
    """The id stands in the same event as the data."""
    assert _read(event_with_id("3-7", b"{}")) == [{"id": "3-7", "data": "{}"}]


def test_priming() -> None:
    """It has an id, the time to wait, and empty data."""
    assert _read(priming_event("3-0", 1500)) == [{"id": "3-0", "retry": "1500", "data": ""}]


def test_keep_alive_is_a_comment() -> None:
    """It is no event to any reader."""
    assert _read(KEEP_ALIVE) == []
