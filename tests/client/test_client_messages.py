"""JSON-RPC as servers send it, with what is forgiven."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.client.messages import error_code, names, read, supported_versions
from mcpserve.errors import BadAnswer
from mcpserve.protocol.jsonrpc import Notification, Request, Response


def said(**members: Any) -> bytes:
    """A message."""
    return orjson.dumps({"jsonrpc": "2.0", **members})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (said(id=1, result={}), Response(1, {})),
        (said(method="m"), Notification("m", {})),
        (said(id="a", method="m", params={"x": 1}), Request("a", "m", {"x": 1})),
        (said(id=None, error={"code": 1}), Response(None, None, {"code": 1})),
        (said(id=None, method="m"), Notification("m", {})),
        (said(method="m", params=None), Notification("m", {})),
        (said(id=1, result={}, error=None), Response(1, {})),
        (said(id=1, result=None, error={"code": 1}), Response(1, None, {"code": 1})),
        (said(id=1, result=None), Response(1, None)),
    ],
)
def test_what_is_read_and_what_is_forgiven(data: bytes, message: Any) -> None:
    """Members that are null where they should be absent count as absent."""
    assert list(read(data)) == [message]


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"1", b"{}", b"[]", b"[1]", b"\xff", said(), said(id=1), said(id=1, result=1, error={}), said(id=1.5)],
)
def test_what_is_not_forgiven(data: bytes) -> None:
    """Anything else is a bad answer."""
    with pytest.raises(BadAnswer):
        read(data)


def test_a_batch_is_several_messages() -> None:
    """An array brings each of its messages."""
    assert list(read(b"[" + said(method="a") + b"," + said(method="b") + b"]")) == [
        Notification("a", {}),
        Notification("b", {}),
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]), inner)
        ),
        max_leaves=9,
    )
)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    """No JSON makes reading fail in another way than BadAnswer."""
    if isinstance(value, dict):
        value["jsonrpc"] = "2.0"
    with contextlib.suppress(BadAnswer):
        read(orjson.dumps(value))


def test_what_an_error_says() -> None:
    """Codes and versions are read where they have the right shape, and are absent elsewhere."""
    assert [error_code(error) for error in (None, {}, {"code": "1"}, {"code": True}, {"code": 5})] == [None] * 4 + [5]
    assert supported_versions({"data": {"supported": ["a", 1]}}) == ["a"]
    assert [list(supported_versions(error)) for error in ({}, {"data": []}, {"data": {"supported": "a"}})] == [[]] * 3
    assert list(names(None)) == []
