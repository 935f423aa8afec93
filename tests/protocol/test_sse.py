"""Server-sent events: what we write, as an independent reader reads it; and what we read, as the standard has it."""

from __future__ import annotations

import sys
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.protocol.sse import (
    KEEP_ALIVE,
    Decoder,
    Event,
    EventTooLarge,
    event,
    event_with_id,
    named_event,
    priming_event,
    retry,
)
from tests.protocol.fuzz_sse import check
from tests.protocol.sse_reference import STREAMS, cut

LIMIT = 1 << 20
PLACES = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


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


def _decode(stream: bytes, limit: int = LIMIT) -> list[Event]:
    return Decoder(limit).feed(stream)


def _texts(stream: bytes) -> list[str]:
    return [event.text for event in _decode(stream)]


@given(STREAMS, PLACES)
def test_decoder_is_the_standard(stream: bytes, places: list[int]) -> None:
    """Whatever comes, and however it is cut, it is read as the sentences of the standard say."""
    check(stream, places)


@given(st.lists(st.text()), PLACES, st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_what_is_written_is_read(texts: list[str], places: list[int], end: bytes) -> None:
    """Our own events come back, with any line ends and cuts."""
    encoded = [orjson.dumps(text) for text in texts]
    stream = b"".join(event(data) + KEEP_ALIVE for data in encoded).replace(b"\n", end)
    decoder = Decoder(LIMIT)
    events = [one for piece in cut(stream, places) for one in decoder.feed(piece)]
    assert [orjson.loads(one.data) for one in events] == texts


def test_bytes_one_by_one() -> None:
    """An event is there with the last byte of its empty line, not before and not later."""
    decoder = Decoder(LIMIT)
    stream = b"\xef\xbb\xbfid: 1\r\nevent: e\r\ndata: a\r\ndata: b\r\n\r\ndata: c\n\n"
    found = [(at, one) for at in range(len(stream)) for one in decoder.feed(stream[at : at + 1])]
    # The return of the empty line ends it; the line feed after that belongs to it.
    assert found == [
        (stream.index(b"\r\n\r\n") + 2, Event(b"a\nb", "e", "1")),
        (len(stream) - 1, Event(b"c", "message", "1")),
    ]


def test_examples_of_the_standard() -> None:
    """The examples that the standard gives are read as it says."""
    assert _texts(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]
    assert _texts(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n") == [
        "first event",
        "second event",
        " third event",
    ]
    assert _texts(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]
    assert _texts(b"data:test\n\ndata: test\n\n") == ["test", "test"]


def test_event_in_two_pieces() -> None:
    """Lines that come later, and look like an event of their own, belong to the event that has begun."""
    decoder = Decoder(LIMIT)
    assert decoder.feed(b"event: e\ndata: a\n") == []
    assert decoder.feed(b"data: b\n\ndata: c\n\n") == [Event(b"a\nb", "e"), Event(b"c")]


def test_mark_counts_at_the_beginning_only() -> None:
    """One byte order mark is left out, a second one is part of a name."""
    assert _texts(b"\xef\xbb\xbfdata: 1\n\n") == ["1"]
    assert _texts(b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\ndata: 2\n\n") == ["2"]
    assert _texts(b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n") == ["1"]


def test_id_lasts() -> None:
    """An id counts for the events after it too, until an empty one takes it back; one with a NUL is none."""
    decoder = Decoder(LIMIT)
    assert decoder.last_event_id is None
    assert [one.id for one in decoder.feed(b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid: x\0\ndata: d\n\n")] == [
        "", "1", "1", "1",
    ]  # fmt: skip
    assert decoder.last_event_id == "1"
    assert [one.id for one in decoder.feed(b"id\ndata: e\n\n")] == [""]
    assert decoder.last_event_id == ""


def test_id_counts_with_the_end_of_its_event() -> None:
    """Who reconnects after half an event asks for that event again."""
    decoder = Decoder(LIMIT)
    decoder.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert decoder.last_event_id == "1"
    decoder.feed(b"\n")
    assert decoder.last_event_id == "2"


def test_priming_is_read() -> None:
    """The id and the time to wait of a priming event are known; its data is empty."""
    decoder = Decoder(LIMIT)
    assert decoder.feed(priming_event("3-0", 1500)) == [Event(b"", "message", "3-0")]
    assert (decoder.last_event_id, decoder.retry_ms) == ("3-0", 1500)


def test_id_alone_is_no_event() -> None:
    """An event without any data line is none, but its id counts."""
    decoder = Decoder(LIMIT)
    assert decoder.feed(b"id: 5\n\n") == []
    assert decoder.last_event_id == "5"


@pytest.mark.parametrize(
    ("field", "expected"),
    [(b"0", 0), (b"0500", 500), (b"1e3", None), (b"-1", None), (b"", None), (b"1 ", None), ("\u0663".encode(), None)],
)
def test_retry(field: bytes, expected: int | None) -> None:
    """Only ASCII digits are a time to wait."""
    decoder = Decoder(LIMIT)
    assert decoder.feed(b"retry: " + field + b"\n") == []
    assert decoder.retry_ms == expected


def test_retry_of_any_length() -> None:
    """A time with more digits than Python would turn into a number is a long time, and no error."""
    decoder = Decoder(LIMIT)
    decoder.feed(b"retry: " + b"9" * 10_000 + b"\n")
    assert decoder.retry_ms == 10**15 - 1
    decoder.feed(retry(20))
    assert decoder.retry_ms == 20


def test_types() -> None:
    """An event has the type that it says, and the next one has its own again."""
    events = _decode(named_event("endpoint", b"/m") + event(b"{}"))
    assert [one.type for one in events] == ["endpoint", "message"]


def test_text_is_forgiving() -> None:
    """Bytes that are no UTF-8 are replaced in the text and kept in the data."""
    (one,) = _decode(b"data: a\xffb\n\n")
    assert (one.data, one.text) == (b"a\xffb", "a\ufffdb")


def test_hundred_thousand_comments() -> None:
    """Comments in any number take no memory and give no events, in one piece or in many."""
    decoder = Decoder(1024)
    stream = b": keep-alive\n" * 100_000
    tracemalloc.start()
    for start in range(0, len(stream), 65_536):
        assert decoder.feed(stream[start : start + 65_536]) == []
    assert tracemalloc.get_traced_memory()[0] < 64 * 1024
    tracemalloc.stop()
    assert decoder.feed(b":\n\n" * 100_000 + b"data: 1\n\n") == [Event(b"1")]


def test_huge_event() -> None:
    """An event as large as the limit is given, in whatever pieces it comes; one byte more is an error."""
    data = b"x" * LIMIT
    decoder = Decoder(LIMIT)
    pieces = cut(event(data), list(range(0, LIMIT, 1000)))
    assert [one.data for piece in pieces for one in decoder.feed(piece)] == [data]
    with pytest.raises(EventTooLarge):
        _decode(event(data + b"x"))


def _drained(decoder: Decoder, pieces: list[bytes]) -> tuple[list[Event], bool]:
    """The events of all pieces up to an error, and whether there was one."""
    events: list[Event] = []
    for piece in pieces:
        try:
            events.extend(decoder.feed(piece))
        except EventTooLarge as problem:
            return [*events, *problem.events], True
    return events, False


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b": " + b"x" * 200, b"data: 12345678\n" * 20, b"x" * 200])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_limit(stream: bytes, step: int) -> None:
    """A line or an event that grows past the limit is an error before its end has come; what came before is given."""
    stream = b"data: 1\n\n" + stream
    decoder = Decoder(100)
    assert _drained(decoder, [stream[at : at + step] for at in range(0, len(stream), step)]) == ([Event(b"1")], True)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"data: 2\n\n")


@given(st.binary(max_size=200).map(lambda data: data.replace(b"x", b"\n")), PLACES)
def test_limit_does_not_depend_on_cuts(noise: bytes, places: list[int]) -> None:
    """The same events come before the same error, however the stream is cut."""
    stream = b"data: 1\n\n" + noise + b"\n\n"
    assert _drained(Decoder(20), [stream]) == _drained(Decoder(20), cut(stream, places))


def _work(stream: bytes, step: int) -> int:
    """How many calls into Python code it takes to decode a stream in pieces."""
    calls = 0

    def count(frame: object, kind: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    decoder = Decoder(1 << 30)
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    sys.setprofile(count)
    try:
        for piece in pieces:
            decoder.feed(piece)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("line", [b"data: " + b"x" * 4000, b"data: x\n", b":\n", b"\n", b"id: 1\n", b"data: x\n\n"])
@pytest.mark.parametrize("step", [1, 100])
def test_linear(line: bytes, step: int) -> None:
    """Four times the stream is four times the work, in whatever pieces."""
    stream = line * (4000 // len(line))
    assert _work(stream * 4, step) < 4.2 * _work(stream, step) + 200
