"""JSON-RPC: from bytes to messages, and back."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import InvalidParams, InvalidRequest, ParseError
from mcpserve.protocol.jsonrpc import (
    MOST_LEVELS,
    Batch,
    Notification,
    Request,
    Response,
    _is_deeper,
    encode_error,
    encode_notification,
    encode_result,
    is_id,
    message_from,
    parse,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2.0, None]),
        "id": st.sampled_from([1, 0, -1, "a", "", None, True, 1.5, {}, []]),
        "method": st.sampled_from(["ping", "", None, 5, []]),
        "params": JSON,
        "result": JSON,
        "error": JSON,
    },
)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_message_or_one_of_two_errors(body: bytes) -> None:
    """Nothing that a client may send raises anything else."""
    try:
        message = parse(body)
    except (ParseError, InvalidRequest):
        return
    assert isinstance(message, Request | Notification | Response | Batch)


@given(JSON | MEMBERS)
def test_any_json_is_a_message_or_invalid(value: Any) -> None:
    """What is a message keeps to the rules at the top of the module."""
    try:
        message = message_from(value)
    except InvalidRequest:
        return
    assert value["jsonrpc"] == "2.0"
    assert isinstance(message, Response) == ("method" not in value)
    if isinstance(message, Request):
        assert is_id(message.id)
    elif isinstance(message, Notification):
        assert "id" not in value
    else:
        assert ("result" in value) != ("error" in value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"ping"}', Request(1, "ping", {})),
        ('{"jsonrpc":"2.0","id":"","method":"ping","params":{"a":[1]}}', Request("", "ping", {"a": [1]})),
        ('{"jsonrpc":"2.0","id":0,"method":"ping","more":1}', Request(0, "ping", {})),
        ('{"jsonrpc":"2.0","method":"hint","params":{}}', Notification("hint", {})),
        ('{"jsonrpc":"2.0","id":1,"result":{}}', Response(1, {})),
        ('{"jsonrpc":"2.0","id":1,"error":{"code":1}}', Response(1, None, {"code": 1})),
        ('{"jsonrpc":"2.0","error":{"code":1}}', Response(None, None, {"code": 1})),
        (' \n{"jsonrpc":"2.0","id":18446744073709551615,"method":"m"}', Request(2**64 - 1, "m", {})),
        ("[]", Batch([])),
        ("[1,null]", Batch([1, None])),
    ],
)
def test_messages(body: str, message: Any) -> None:
    """Requests, notifications, responses and arrays are told apart by their members."""
    assert parse(body.encode()) == message


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"nul", b"\xff", b'"\\ud800"', b'{"a":NaN}', b"[" * 100_000, b"\xef\xbb\xbf{}", b"{}{}"]
)
def test_what_is_not_json(body: bytes) -> None:
    """Wrong bytes, lone surrogates, NaN, endless nesting and an empty body are all one kind of error."""
    with pytest.raises(ParseError, match="not JSON in UTF-8"):
        parse(body)


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        ({"id": 7, "method": "m"}, 7),
        ({"jsonrpc": "2.0", "id": None, "method": "m"}, None),
        ({"jsonrpc": "2.0", "id": True, "method": "m"}, None),
        ({"jsonrpc": "2.0", "id": 1.0, "method": "m"}, None),
        ({"jsonrpc": "2.0", "id": {}, "method": "m"}, None),
        ({"jsonrpc": "2.0", "id": 7, "method": 5}, 7),
        ({"jsonrpc": "2.0", "id": "a", "method": "m", "params": []}, "a"),
        ({"jsonrpc": "2.0", "id": 7, "method": "m", "params": None}, 7),
        ({"jsonrpc": "2.0", "id": 7, "method": "m", "result": {}}, 7),
        ({"jsonrpc": "2.0", "id": 7}, 7),
        ({"jsonrpc": "2.0", "id": 7, "result": {}, "error": {}}, 7),
        ({"jsonrpc": "2.0", "id": 7, "error": "no"}, 7),
        ({"jsonrpc": "2.0", "id": 7, "error": None}, 7),
        ({"jsonrpc": "2.0", "result": {}}, None),
        ({"jsonrpc": "2.0", "id": None, "error": {}}, None),
        ("text", None),
        (None, None),
    ],
)
def test_what_is_json_but_no_message(value: Any, request_id: Any) -> None:
    """The error names the id, if a valid one could be read, so that the client can tell which request it was."""
    with pytest.raises(InvalidRequest) as caught:
        message_from(value)
    assert caught.value.request_id == request_id
    assert type(caught.value.request_id) is type(request_id)


@pytest.mark.parametrize("request_id", [1, "1", "é"])
def test_encoded(request_id: int | str) -> None:
    """An id comes back as the type it was sent in."""
    assert orjson.loads(encode_result(request_id, {"a": 1})) == {"jsonrpc": "2.0", "id": request_id, "result": {"a": 1}}
    error = orjson.loads(encode_error(request_id, InvalidParams("No.")))
    assert error == {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32602, "message": "No."}}


def test_an_error_without_a_request() -> None:
    """It has no id at all: the schema forbids null."""
    error = orjson.loads(encode_error(None, InvalidParams("No.", {"why": 0})))
    assert error == {"jsonrpc": "2.0", "error": {"code": -32602, "message": "No.", "data": {"why": 0}}}


def test_fragments_are_not_encoded_again() -> None:
    """A result that was encoded before is put in as it is."""
    assert b'"result":{"a": 1}' in encode_result(1, orjson.Fragment(b'{"a": 1}'))


def test_notifications_encoded() -> None:
    """A notification without params has none, not an empty object."""
    assert orjson.loads(encode_notification("n")) == {"jsonrpc": "2.0", "method": "n"}
    assert orjson.loads(encode_notification("n", {})) == {"jsonrpc": "2.0", "method": "n", "params": {}}


@given(st.text().filter(str.isprintable), JSON)
def test_no_message_has_a_line_break(text: str, value: Any) -> None:
    """Server-sent events and stdio frame messages by lines."""
    try:
        encoded = encode_notification("n", {"text": text + "\n\r", "value": value})
    except TypeError:
        return  # an integer that JSON's codec does not know
    assert b"\n" not in encoded
    assert b"\r" not in encoded


def nested(levels: int, kind: str = "[") -> bytes:
    """A request with so many levels in all."""
    opening, closing = {"[": (b"[", b"]"), "{": (b'{"a":', b"}")}[kind]
    inner = levels - 1 if kind == "[" else levels - 2
    deep = opening * inner + (b"" if kind == "[" else b"{}") + closing * inner
    return b'{"jsonrpc":"2.0","id":7,"method":"m","x":' + deep + b"}"


@pytest.mark.parametrize("kind", ["[", "{"])
def test_how_deep(kind: str) -> None:
    """128 levels are read, one more is refused, with the id."""
    assert isinstance(parse(nested(MOST_LEVELS, kind)), Request)
    with pytest.raises(InvalidRequest, match="more than 128 levels") as caught:
        parse(nested(MOST_LEVELS + 1, kind))
    assert caught.value.request_id == 7


def test_what_only_looks_deep() -> None:
    """Brackets beside each other, and those in strings, are no levels."""
    wide = [[] for _ in range(1000)]
    for value in (wide, "[" * 1000, '\\"[' * 1000, "\\" * 999 + "[" * 500, {"[" * 300: '"' * 3}):
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"x": value}})
        assert isinstance(parse(body), Request)


@given(
    st.recursive(
        st.text('[]{}"\\a', max_size=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=3),
        max_leaves=40,
    )
)
def test_depth_is_that_of_the_values(value: Any) -> None:
    """Counted on the bytes as on the decoded value."""

    def depth(one: Any) -> int:
        if isinstance(one, dict):
            one = list(one.values())
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    levels = depth(value)
    assert not _is_deeper(orjson.dumps(value), levels)
    assert levels == 0 or _is_deeper(orjson.dumps(value), levels - 1)


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("good", [True, False])
def test_large_bodies_leave_the_garbage_collector_on(size: int, good: bool) -> None:
    """It rests while they are decoded, and not longer, even if they can't be."""
    body = orjson.dumps({"jsonrpc": "2.0", "method": "m", "params": {"x": "y" * size}})
    if good:
        assert isinstance(parse(body), Notification)
    else:
        with pytest.raises(ParseError):
            parse(body[:-1])
    assert gc.isenabled()
